"use strict";

// Shows times in the browser's time zone; the title has UTC.
function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const options = { dateStyle: "medium", timeStyle: "medium" };
    if (!Number.isNaN(at.getTime())) time.textContent = at.toLocaleString(undefined, options);
  }
}

// A link such as /sign-in#TOKEN signs in. The token of a fragment is not sent in an address.
function signInByLink() {
  const form = document.querySelector("form[data-sign-in]");
  if (!form || location.hash.length < 2) return;
  form.elements.token.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
  form.submit();
}

// Replaces the content when it changes. Forms that somebody fills in are left alone.
function liveUpdates() {
  const main = document.querySelector("main[data-live]");
  if (!main) return;
  const state = document.getElementById("live");
  const source = new EventSource(location.pathname + location.search);
  source.addEventListener("page", (event) => {
    state.textContent = "Live";
    if (main.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) return;
    const opened = [...main.querySelectorAll("details[open]")].map((it) => it.id);
    main.innerHTML = event.data;
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    localTimes(main);
  });
  source.addEventListener("end", () => {
    source.close();
    location.reload();
  });
  source.onerror = () => {
    const isClosed = source.readyState === EventSource.CLOSED;
    state.textContent = isClosed ? "Not updated live. Reload the page." : "Connection lost. Trying again.";
  };
}

localTimes(document);
signInByLink();
addEventListener("hashchange", signInByLink);
liveUpdates();
