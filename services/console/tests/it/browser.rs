//! A client that keeps cookies and follows no redirects.

use std::collections::BTreeMap;
use std::sync::Mutex;

use console::build;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::json;
use test_kit::{Running, World, bearer_with, seconds_from_now};
use url::form_urlencoded::Serializer;

/// The console, and one browser.
pub(crate) struct Browser {
    base: String,
    client: Client,
    cookies: Mutex<BTreeMap<String, String>>,
    pub(crate) service: Running,
}

/// A response.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Page {
    /// Where a redirect leads.
    pub(crate) fn location(&self) -> &str {
        self.headers[LOCATION].to_str().unwrap()
    }

    /// The value of a hidden field.
    pub(crate) fn field(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let from = self.body.find(&start).unwrap_or_else(|| panic!("no {name}: {}", self.body));
        let rest = &self.body[from + start.len()..];
        rest[..rest.find('"').unwrap()].to_owned()
    }

    /// The hidden fields of the last form, and its path. The values are without markup.
    fn last_form(&self) -> (String, Vec<(String, String)>) {
        let form = self.body.rsplit("<form ").next().unwrap();
        let between = |text: &str, from: &str| {
            let rest = &text[text.find(from)? + from.len()..];
            Some(rest[..rest.find('"')?].to_owned())
        };
        let fields = form
            .split("<input ")
            .skip(1)
            .filter_map(|input| Some((between(input, "name=\"")?, between(input, "value=\"")?)));
        let fields =
            fields.map(|(name, value)| (name, value.replace("&lt;", "<").replace("&gt;", ">")));
        (between(form, "action=\"").unwrap(), fields.collect())
    }
}

impl Browser {
    /// Sends the form of a confirmation.
    pub(crate) async fn confirm(&self, page: &Page) -> Page {
        let (path, fields) = page.last_form();
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.post(&path, &fields).await
    }

    /// Starts the console, without a sign-in.
    pub(crate) fn open(world: &World) -> Self {
        let service = world.start(build);
        let client = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        Self { base: service.url(), client, cookies: Mutex::default(), service }
    }

    /// Starts the console, and signs carol in.
    pub(crate) async fn signed_in(world: &World) -> Self {
        Self::signed_in_as(world, "carol").await
    }

    /// Starts the console, and signs this operator in.
    pub(crate) async fn signed_in_as(world: &World, name: &str) -> Self {
        let browser = Self::open(world);
        let form = browser.get("/sign-in").await.field("formToken");
        let token = token(&json!({ "sub": name, "role": "operator" }));
        let page = browser.post("/sign-in", &[("formToken", &form), ("token", &token)]).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.body);
        browser
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        self.send(self.request_to(path)).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Page {
        self.send(self.posting(path, form)).await
    }

    /// A POST with the cookies.
    pub(crate) fn posting(&self, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        let request = self.client.post(format!("{}{path}", self.base));
        let body = Serializer::new(String::new()).extend_pairs(form).finish();
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        self.with_cookies(request)
    }

    /// A GET with the cookies.
    pub(crate) fn request_to(&self, path: &str) -> RequestBuilder {
        self.with_cookies(self.client.get(format!("{}{path}", self.base)))
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Page {
        let response = request.send().await.unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.lock().unwrap().insert(name.to_owned(), value.to_owned());
        }
        let (status, headers) = (response.status(), response.headers().clone());
        Page { status, headers, body: response.text().await.unwrap() }
    }

    /// The bytes of a response.
    pub(crate) async fn send_raw(&self, request: RequestBuilder) -> Vec<u8> {
        request.send().await.unwrap().bytes().await.unwrap().to_vec()
    }

    fn with_cookies(&self, request: RequestBuilder) -> RequestBuilder {
        let cookies = self.cookies.lock().unwrap();
        let pairs = cookies.iter().map(|(name, value)| format!("{name}={value}"));
        request.header("cookie", pairs.collect::<Vec<_>>().join("; "))
    }
}

/// A token with these claims, valid for an hour unless they say otherwise.
pub(crate) fn token(claims: &serde_json::Value) -> String {
    let mut claims = claims.clone();
    if claims["exp"].is_null() {
        claims["exp"] = seconds_from_now(3600).into();
    }
    bearer_with(&claims).split_once(' ').unwrap().1.to_owned()
}
