//! All processes of one run.

use std::path::PathBuf;
use std::sync::Arc;

use test_kit::{Balancer, Proxy, World, get_json, is_ready};

use super::member::Member;
use super::{BACKGROUND, INSTANCES, LEASE, PUBLISH_TIMEOUT, SERVICES, SESSION_TIMEOUT, Testbed};

/// How the services of a run differ from the usual ones.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Variables of all services.
    pub variables: Vec<(&'static str, String)>,
    /// Whether each process reaches its peers through a proxy of its own.
    pub proxied: bool,
    /// A program that runs the first process of a service, with its arguments.
    pub wrapper: Option<(&'static str, Vec<String>)>,
}

/// The processes, their database and topics, and the balancers in front of API and inventory.
#[derive(Debug)]
pub struct Fleet {
    /// The database, the topics, and the variables of all services.
    pub world: World,
    /// The processes.
    pub members: Vec<Member>,
    pub(crate) testbed: Arc<Testbed>,
    pub(crate) api: Balancer,
    inventory: Balancer,
    /// The proxy between the API and the inventory, if the run has proxies.
    pub(crate) inventory_link: Option<Proxy>,
    pub(crate) settings: Settings,
    /// Processes that were removed, for their logs.
    pub(crate) former: Vec<Member>,
}

impl Fleet {
    /// Starts two processes of each service, and waits until they are ready.
    pub async fn start(testbed: &Arc<Testbed>, settings: Settings) -> Self {
        let mut world = World::create_on(testbed.addresses.clone()).await;
        for default in [
            "OUTBOX_POLL_INTERVAL",
            "DELIVERY_POLL_INTERVAL",
            "DATABASE_CONNECT_TIMEOUT",
            "READINESS_INTERVAL",
        ] {
            world.unset(default);
        }
        world.set("READINESS_INTERVAL", 500);
        world.set("DELIVERY_MIN_DELAY", 100).set("DELIVERY_MAX_DELAY", 600);
        world.set("OUTBOX_LEASE", LEASE.as_millis()).set("DELIVERY_LEASE", LEASE.as_millis());
        world.set("KAFKA_PUBLISH_TIMEOUT", PUBLISH_TIMEOUT.as_millis());
        world.set("CONSUMER_SESSION_TIMEOUT", SESSION_TIMEOUT.as_millis());
        for (name, value) in &settings.variables {
            world.set(name, value);
        }
        let inventory = Balancer::start_with_fallback().await;
        let api = Balancer::start_with_fallback().await;
        let mut inventory_url = inventory.url();
        let mut inventory_link = None;
        if settings.proxied {
            let proxy = Proxy::to(inventory_url.trim_start_matches("http://").to_owned()).await;
            inventory_url = format!("http://{}", proxy.address());
            inventory_link = Some(proxy);
        }
        world.set("INVENTORY_URL", inventory_url);
        let mut fleet = Self {
            world,
            members: Vec::new(),
            testbed: Arc::clone(testbed),
            api,
            inventory,
            inventory_link,
            settings,
            former: Vec::new(),
        };
        for service in SERVICES {
            for slot in 0..INSTANCES {
                let member = fleet.new_member(service, slot).await;
                fleet.members.push(member);
                fleet.spawn(fleet.members.len() - 1);
            }
        }
        for index in 0..fleet.members.len() {
            fleet.until_ready(index).await;
        }
        fleet
    }

    /// The URL of the API.
    pub fn url(&self) -> String {
        self.api.url()
    }

    /// A member without a process.
    pub(crate) async fn new_member(&self, service: &'static str, slot: usize) -> Member {
        let mut member = Member::new(service, slot, self.world.variables().clone());
        if let Some((wrapped, wrapper)) = &self.settings.wrapper
            && *wrapped == service
            && slot == 0
        {
            member.wrapper.clone_from(wrapper);
        }
        if self.settings.proxied && slot < INSTANCES && service != "inventory-mock" {
            self.add_proxies(&mut member).await;
        }
        member
    }

    async fn add_proxies(&self, member: &mut Member) {
        let url = self.world.database.url();
        let (credentials, rest) = url.rsplit_once('@').expect("the URL has no credentials");
        let (peer, name) = rest.split_once('/').expect("the URL has no database");
        let proxy = Proxy::to(peer.to_owned()).await;
        let proxied = format!("{credentials}@{}/{name}", proxy.address());
        member.variables.insert("DATABASE_URL".to_owned(), proxied);
        member.database = Some(proxy);
        if let Some(service) = BACKGROUND.iter().position(|it| *it == member.service) {
            let number = service * INSTANCES + member.slot;
            let broker = &self.testbed.brokers[number];
            broker.heal();
            member.variables.insert("KAFKA_BROKERS".to_owned(), broker.address().to_string());
            member.broker = Some(number);
        }
    }

    /// The place of a member in [`Self::members`].
    pub(crate) fn index(&self, service: &str, slot: usize) -> usize {
        let found = self.members.iter().position(|it| it.service == service && it.slot == slot);
        found.unwrap_or_else(|| panic!("there is no {service} {slot}"))
    }

    pub(crate) fn spawn(&mut self, index: usize) {
        let binaries: PathBuf = self.testbed.binaries.clone();
        self.members[index].spawn(&binaries);
    }

    /// Waits until a process is ready and, if a balancer is in front of it, gets connections.
    pub(crate) async fn until_ready(&mut self, index: usize) {
        let member = &mut self.members[index];
        let service = member.service;
        let Some(process) = member.process() else { return };
        process.until_ready().await;
        let management = process.management_port();
        if let (Some(balancer), Some(port)) = (self.balancer(service), self.members[index].port) {
            balancer.add(port, management).await;
        }
    }

    /// Takes a process out of the balancer that is in front of it.
    pub(crate) fn leave_balancer(&self, index: usize) {
        let member = &self.members[index];
        if let (Some(balancer), Some(port)) = (self.balancer(member.service), member.port) {
            balancer.remove(port);
        }
    }

    fn balancer(&self, service: &str) -> Option<&Balancer> {
        match service {
            "inventory-mock" => Some(&self.inventory),
            "sales-api" => Some(&self.api),
            _ => None,
        }
    }

    /// Starts the processes that are missing, and heals all proxies.
    pub(crate) async fn heal(&mut self) {
        self.heal_links();
        for index in 0..self.members.len() {
            if self.members[index].process().is_none() {
                self.spawn(index);
                self.until_ready(index).await;
            }
        }
    }

    /// Stops all processes of a service with SIGSTOP.
    pub fn pause_all(&mut self, service: &str) {
        self.signal_all(service, "-STOP");
    }

    /// Lets them continue.
    pub fn resume_all(&mut self, service: &str) {
        self.signal_all(service, "-CONT");
    }

    fn signal_all(&mut self, service: &str, signal: &str) {
        let members = self.members.iter_mut().filter(|member| member.service == service);
        for process in members.filter_map(Member::process) {
            process.signal(signal);
        }
    }

    /// The processes that are not ready, or whose loops are stalled, or that have ended.
    pub(crate) async fn unhealthy(&mut self) -> Vec<String> {
        let mut unhealthy = Vec::new();
        for member in &mut self.members {
            if let Some(ended) = member.ended_by_itself() {
                unhealthy.push(ended);
                continue;
            }
            let Some(port) = member.management_port() else { continue };
            if !is_ready(port).await {
                unhealthy.push(format!("{} is not ready", member.name()));
            }
            let (status, document) = get_json(port, "livez").await;
            if status != 200 {
                unhealthy.push(format!("{} is stalled: {document}", member.name()));
            }
        }
        unhealthy
    }

    /// How often processes of these services were killed.
    pub(crate) fn kills(&self, services: &[&str]) -> usize {
        let of_services = self.members.iter().filter(|it| services.contains(&it.service));
        of_services.map(Member::kills).sum()
    }

    /// The log of each member.
    pub(crate) fn logs(&self) -> Vec<(String, String)> {
        let all = self.members.iter().chain(&self.former);
        all.map(|member| (member.name(), member.log())).collect()
    }
}
