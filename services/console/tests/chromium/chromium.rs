//! A browser window.

use std::fmt::Display;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use test_kit::{eventually, eventually_within};

use crate::chromedriver::{ChromeCommand, Chromedriver};

/// How a page is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    Light,
    Dark,
    Phone,
}

impl Screen {
    pub(crate) const ALL: [Self; 3] = [Self::Light, Self::Dark, Self::Phone];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
            Self::Phone => "phone",
        }
    }

    /// The width in pixels.
    pub(crate) const fn width(self) -> u32 {
        match self {
            Self::Light | Self::Dark => 1280,
            Self::Phone => 390,
        }
    }
}

/// A headless Chromium. It ends with this value.
#[derive(Debug)]
pub(crate) struct Chromium {
    pub(crate) driver: Client,
    pub(crate) screen: Screen,
    _chromedriver: Chromedriver,
}

impl Chromium {
    pub(crate) async fn start(screen: Screen) -> Self {
        let chromedriver = Chromedriver::start();
        // Containers do not allow the browser's sandbox.
        let arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"];
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let mut driver = ClientBuilder::new(HttpConnector::new());
        driver.capabilities(serde_json::from_value(capabilities).unwrap());
        let driver = driver.connect(&chromedriver.url()).await.unwrap();
        let window = Self { driver, screen, _chromedriver: chromedriver };
        let (width, is_phone) = (screen.width(), screen == Screen::Phone);
        let metrics =
            json!({ "width": width, "height": 850, "deviceScaleFactor": 1, "mobile": is_phone });
        window.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let theme = if screen == Screen::Dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        window.devtools("Emulation.setEmulatedMedia", features).await;
        window
    }

    /// Runs no script of a page from now on.
    pub(crate) async fn disable_scripts(&self) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        let command = json!({ "cmd": command, "params": parameters });
        self.driver.issue_cmd(ChromeCommand::new("goog/cdp/execute", command)).await.unwrap();
    }

    pub(crate) async fn open(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    /// The path and query of the page.
    pub(crate) async fn path(&self) -> String {
        let url = self.driver.current_url().await.unwrap();
        url[url::Position::BeforePath..].to_owned()
    }

    /// The element, as soon as there is one.
    pub(crate) async fn find(&self, css: &str) -> Element {
        eventually_within(Duration::from_secs(30), css, async || {
            self.driver.find(Locator::Css(css)).await.ok()
        })
        .await
    }

    /// Clicks a button or a link that leads to another page, and waits for that page.
    pub(crate) async fn follow(&self, css: &str) {
        let left = self.find("main").await;
        self.find(css).await.click().await.unwrap();
        Self::until_left(&left).await;
    }

    /// Waits until the page of this element is left.
    pub(crate) async fn until_left(element: &Element) {
        eventually("the next page is shown", async || {
            element.tag_name().await.is_err().then_some(())
        })
        .await;
    }

    /// Types into what has the focus.
    pub(crate) async fn press(&self, keys: impl Display) {
        let focused = self.driver.active_element().await.unwrap();
        focused.send_keys(&keys.to_string()).await.unwrap();
    }

    /// Presses the tabulator until an element with this selector has the focus.
    pub(crate) async fn tab_to(&self, css: &str) {
        for _ in 0..60 {
            self.press(char::from(Key::Tab)).await;
            let matches = format!("return document.activeElement.matches({})", json!(css));
            if self.run(&matches).await == Value::Bool(true) {
                return;
            }
        }
        panic!("the tabulator does not lead to {css}");
    }

    /// The value that a script returns. It runs even if the page may run none.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.driver.execute(script, Vec::new()).await.unwrap()
    }

    /// The text of the page.
    pub(crate) async fn text(&self) -> String {
        self.find("body").await.text().await.unwrap()
    }

    /// The messages in the browser's console since the last call.
    pub(crate) async fn console(&self) -> Vec<String> {
        let log = self.log("browser").await;
        log.iter().map(|entry| format!("{}: {}", entry["level"], entry["message"])).collect()
    }

    /// The addresses that the browser has requested since the last call.
    pub(crate) async fn requests(&self) -> Vec<String> {
        let log = self.log("performance").await;
        let messages = log
            .iter()
            .map(|entry| serde_json::from_str(entry["message"].as_str().unwrap()).unwrap());
        messages
            .filter(|event: &Value| event["message"]["method"] == "Network.requestWillBeSent")
            .map(|event| event["message"]["params"]["request"]["url"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The entries of a log since the last call.
    async fn log(&self, name: &str) -> Vec<Value> {
        let command = ChromeCommand::new("se/log", json!({ "type": name }));
        let log = self.driver.issue_cmd(command).await.unwrap();
        log.as_array().unwrap().clone()
    }
}
