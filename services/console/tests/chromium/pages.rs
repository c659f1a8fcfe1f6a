//! Every page, on every kind of screen.

use std::path::PathBuf;
use std::time::Duration;

use futures::future::join_all;
use test_kit::eventually;

use crate::chromium::{Chromium, Screen};
use crate::shop::Shop;
use crate::site::Site;

/// A page: the name of its picture, its path, and an element that it has if its content was read.
/// `ORDER` stands for the id of an order, `TOPIC` for the topic of its events, and `LETTERS` for the
/// topic of dead letters.
const PAGES: [(&str, &str, &str); 14] = [
    ("overview", "/", "main:has(#charts path[d^=M]) #consumers td.number"),
    ("orders", "/orders", "#orders tbody tr:nth-child(10)"),
    ("order", "/orders/ORDER", "#order .facts"),
    ("dead-letters", "/dead-letters", "#letters tbody tr:nth-child(3)"),
    ("dead-letter", "/dead-letters/2", "#letter pre"),
    ("topic-dead-letters", "/dead-letters/topics/LETTERS", "#letters tbody tr"),
    ("topics", "/topics", "#topics tbody tr:nth-child(4)"),
    ("records", "/topics/TOPIC", "#records tbody tr"),
    ("records-of-order", "/topics/TOPIC?order=ORDER", "#records tbody tr"),
    ("shipments", "/shipments", "#next"),
    ("verify", "/verify", "#earlier"),
    ("audit", "/audit", "#actions tbody tr"),
    ("action", "/actions/1", "#action .facts"),
    ("sign-in", "/sign-in", "form[data-sign-in]"),
];

/// How long orders are placed before pictures are taken, so that the charts show some.
const TRADE: Duration = Duration::from_mins(4);

/// Everything that axe-core finds, as text.
const AXE: &str = "
    const done = arguments[arguments.length - 1];
    axe.run().then(
        (found) => done(found.violations.map((it) =>
            `${it.id}: ${it.help}: ${it.nodes.map((node) => node.html).join(' ')}`)),
        (error) => done([String(error)]),
    );";

#[tokio::test(flavor = "multi_thread")]
async fn every_page_shows_its_content_is_accessible_and_fits_the_screen() {
    let shop = Shop::with_orders().await;
    if pictures().is_some() {
        shop.trade(TRADE);
    }
    let axe = axe_core();
    let visit = async |screen: Screen| {
        let browser = shop.site.browser(screen).await;
        let mut faults = Vec::new();
        for (name, path, content) in PAGES {
            browser.open(&shop.site.url(&shop.path(path))).await;
            browser.find(content).await;
            if browser.run("return document.querySelector('main[data-live]') !== null").await
                == true
            {
                eventually("the page is live", async || {
                    (browser.find("#live").await.text().await.unwrap() == "Live").then_some(())
                })
                .await;
            }
            let found = faults_of(&browser, &axe, &shop.site.url("/")).await;
            faults.extend(
                found.into_iter().map(|fault| format!("{name}, {}: {fault}", screen.name())),
            );
            take_picture(&browser, name, screen).await;
        }
        faults
    };
    let faults = join_all(Screen::ALL.map(visit)).await.concat();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What is wrong with the page that is open.
async fn faults_of(browser: &Chromium, axe: &str, base: &str) -> Vec<String> {
    let mut faults = browser.console().await;
    let is_outside = |url: &String| !url.starts_with(base) && !url.starts_with("data:");
    faults.extend(browser.requests().await.into_iter().filter(is_outside));
    // A phone shows a page that is too wide in small.
    let width = browser.run("return document.documentElement.scrollWidth").await;
    if width != browser.screen.width() {
        faults.push(format!("the page is {width} pixels wide"));
    }
    if browser.text().await.contains("Not available") {
        faults.push("a section is not available".to_owned());
    }
    browser.driver.execute(axe, Vec::new()).await.unwrap();
    let found = browser.driver.execute_async(AXE, Vec::new()).await.unwrap();
    let found = found.as_array().unwrap().clone();
    faults.extend(found.iter().map(|it| it.as_str().unwrap().to_owned()));
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_page_is_found() {
    let site = Site::start().await;
    let browser = Chromium::start(Screen::Phone).await;
    browser.open(&site.url("/sign-in")).await;
    let plant = "const wide = document.createElement('p');
        wide.style.width = '500px';
        wide.textContent = 'wide';
        document.querySelector('main').append(wide, new Image());
        document.querySelector('main img').src = 'http://example.org/planted.png';";
    browser.run(plant).await;
    // Waits until the policy has refused another request.
    browser.run("return fetch('http://example.org/').catch(() => 0)").await;
    let faults = faults_of(&browser, &axe_core(), &site.url("/")).await.join("\n");
    for fault in ["planted.png", "Content Security Policy", "image-alt", "pixels wide"] {
        assert!(faults.contains(fault), "{fault} is missing: {faults}");
    }
}

fn axe_core() -> String {
    let file =
        std::env::var("AXE_CORE").expect("AXE_CORE is not set; run the tests with make test");
    std::fs::read_to_string(file).unwrap()
}

/// The folder for pictures, of `make console-shots`.
fn pictures() -> Option<PathBuf> {
    std::env::var_os("CONSOLE_SHOTS").map(PathBuf::from)
}

/// Writes a picture, if there is a folder for it.
async fn take_picture(browser: &Chromium, name: &str, screen: Screen) {
    let Some(folder) = pictures() else { return };
    let file = folder.join(format!("{name}-{}.png", screen.name()));
    let picture = browser.driver.screenshot().await.unwrap();
    std::fs::write(file, picture).unwrap();
}
