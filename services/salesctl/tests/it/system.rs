//! All services in this process, run through the same `build` and `run` as their binaries.

use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use test_kit::{Running, World, run_until_exit};

/// All five services and their world.
pub(crate) struct System {
    pub(crate) world: World,
    _inventory: Running,
    _api: Running,
}

impl System {
    /// Starts the inventory and the API. A test starts the other services when it needs them.
    pub(crate) async fn start() -> Self {
        Self::start_in(World::create().await)
    }

    pub(crate) fn start_in(mut world: World) -> Self {
        let inventory = world.start(inventory_mock::build);
        world.set("INVENTORY_URL", inventory.url());
        let api = world.start(sales_api::build);
        world.set("API_URL", api.url());
        Self { world, _inventory: inventory, _api: api }
    }

    pub(crate) fn start_relay(&self) -> Running {
        self.world.start(outbox_relay::build)
    }

    pub(crate) fn start_delivery(&self) -> Running {
        self.world.start(delivery_service::build)
    }

    pub(crate) fn start_status(&self) -> Running {
        self.world.start(status_consumer::build)
    }

    /// Runs `salesctl` to its end while the services run.
    pub(crate) async fn salesctl(&self, arguments: &[&str]) -> Output {
        salesctl(&self.world, arguments).await
    }

    /// Runs the demo. Returns whether it succeeded, and its report.
    pub(crate) async fn demo(&self, arguments: &[&str]) -> (bool, Value) {
        let output = self.salesctl(&[&["demo", "--json"], arguments].concat()).await;
        let text = String::from_utf8(output.stdout).unwrap();
        let report = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
        (output.status.success(), report)
    }
}

/// Runs `salesctl` in a world. No service needs to run.
pub(crate) async fn salesctl(world: &World, arguments: &[&str]) -> Output {
    let (variables, arguments) =
        (world.variables().clone(), arguments.iter().map(|&it| it.to_owned()).collect::<Vec<_>>());
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run_until_exit(env!("CARGO_BIN_EXE_salesctl"), &arguments, &variables)
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// The JSON output of a `salesctl` call that must succeed.
pub(crate) async fn answer(world: &World, arguments: &[&str]) -> Value {
    let output = salesctl(world, &[arguments, &["--json"]].concat()).await;
    let said = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{arguments:?} ended with {}: {said}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A running `salesctl`.
pub(crate) struct RunningSalesctl(Child);

impl RunningSalesctl {
    pub(crate) fn start(world: &World, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_salesctl"));
        command.args(arguments).env_clear().envs(world.variables());
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Sends SIGKILL. Panics if the process has already ended.
    pub(crate) fn kill(mut self) {
        assert!(self.0.try_wait().unwrap().is_none(), "it ended before it could be killed");
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) async fn end(self) -> Output {
        tokio::task::spawn_blocking(|| self.0.wait_with_output().unwrap()).await.unwrap()
    }
}
