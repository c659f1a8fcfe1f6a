"use strict";

// Shows times in the browser's time zone, without the current year; the title has UTC.
function localTimes(root) {
  const year = new Date().getFullYear();
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const options = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
    if (at.getFullYear() !== year) options.year = "numeric";
    if (!Number.isNaN(at.getTime())) time.textContent = at.toLocaleString(undefined, options);
  }
}

// A link such as /sign-in#token=TOKEN fills in the form. Fragments are not sent to servers, and the
// operator confirms whose token it is.
function tokenOfLink() {
  const form = document.querySelector("form[data-sign-in]");
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!form || !token) return;
  history.replaceState(null, "", location.pathname + location.search);
  form.elements.token.value = token;
  let subject = "?";
  try {
    const claims = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    subject = JSON.parse(atob(claims)).sub;
  } catch {
    // The server tells what is wrong with the token.
  }
  const button = form.querySelector("button");
  button.textContent = `Sign in as ${subject}`;
  button.focus();
}

// Replaces the sections that have changed. Forms are outside of them.
function liveUpdates() {
  const main = document.querySelector("main[data-live]");
  if (!main) return;
  const state = document.getElementById("live");
  let source;

  function show(html) {
    const page = document.createElement("template");
    page.innerHTML = html;
    localTimes(page.content);
    for (const section of main.querySelectorAll("section[id]")) {
      const next = page.content.getElementById(section.id);
      if (!next || next.innerHTML === section.innerHTML) continue;
      const links = [...section.querySelectorAll("a, button, [tabindex]")];
      const focused = links.indexOf(document.activeElement);
      const left = section.querySelector(".scroll")?.scrollLeft;
      section.innerHTML = next.innerHTML;
      const scroll = section.querySelector(".scroll");
      if (scroll && left) scroll.scrollLeft = left;
      if (focused >= 0) section.querySelectorAll("a, button, [tabindex]")[focused]?.focus();
    }
  }

  function open() {
    if (source) return;
    source = new EventSource(location.pathname + location.search);
    source.addEventListener("page", (event) => {
      state.textContent = "Live";
      show(event.data);
    });
    source.addEventListener("end", () => location.reload());
    source.onerror = () => {
      const isClosed = source?.readyState === EventSource.CLOSED;
      state.textContent = isClosed ? "Not updated live. Reload the page." : "Connection lost. Trying again.";
    };
  }

  // A browser has few connections to a server, and hidden pages must not take them.
  function close() {
    source?.close();
    source = undefined;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", () => document.hidden || open());
  if (!document.hidden) open();
}

localTimes(document);
tokenOfLink();
addEventListener("hashchange", tokenOfLink);
liveUpdates();
