//! Opens database connections for pools, listeners and migrations.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use postgres_openssl::{MakeTlsConnector, set_postgresql_alpn};
use service_kit::Chain;
use service_kit::credentials::{CaFile, Stamp};
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts};
use uuid::Uuid;

use crate::DatabaseUrl;
use crate::database_url::{Encryption, Roots};

/// Opens connections to one database.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Config,
    /// Maximum duration of one attempt, over all hosts.
    connect_timeout: Duration,
    encryption: Encryption,
    tls: Arc<Mutex<Tls>>,
}

/// How connections are encrypted.
struct Tls {
    /// If the CA certificates cannot be used, each attempt to connect returns this error.
    connector: Result<MakeTlsConnector, String>,
    /// The state of the CA file when it was last read.
    read: Stamp,
}

impl Connector {
    /// Loads the CA certificates. Does not connect.
    pub(crate) fn new(url: &DatabaseUrl, ca: Option<&CaFile>, connect_timeout: Duration) -> Self {
        let (config, encryption) = url.resolve(ca);
        let read = Stamp::of(encryption.file());
        let connector = connector(&encryption).map(MakeTlsConnector::new);
        Self {
            config,
            connect_timeout,
            encryption,
            tls: Arc::new(Mutex::new(Tls { connector, read })),
        }
    }

    /// Changes the connection parameters.
    pub(crate) fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Opens a connection to the first host that responds within its share of the time and
    /// satisfies `target_session_attrs`. A host that accepts the connection but does not respond
    /// does not block the attempt on the next host.
    pub(crate) async fn connect(&self) -> ConnectionResult<AsyncPgConnection> {
        let tls = self.tls().map_err(ConnectionError::BadConnection)?;
        let hosts = each_host(&self.config);
        let connect_timeout =
            self.connect_timeout / u32::try_from(hosts.len().max(1)).unwrap_or(u32::MAX);
        let mut faults = Vec::new();
        for host in &hosts {
            let fault = match timeout(connect_timeout, connect(host, tls.clone())).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(ConnectionError::BadConnection(fault))) => fault,
                Ok(Err(error)) => return Err(error),
                Err(_) => format!("no response within {connect_timeout:?}"),
            };
            faults.push(if hosts.len() == 1 { fault } else { format!("{}: {fault}", name(host)) });
        }
        Err(ConnectionError::BadConnection(faults.join("; ")))
    }
}

impl Connector {
    /// Reloads the CA certificates if their file has changed. If the new file cannot be used, the
    /// previous certificates stay in effect.
    fn tls(&self) -> Result<MakeTlsConnector, String> {
        let mut tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Stamp::of(self.encryption.file());
        if now != tls.read {
            match self.encryption.read_again().and_then(|encryption| connector(&encryption)) {
                Ok(connector) => {
                    *tls = Tls { connector: Ok(MakeTlsConnector::new(connector)), read: now };
                }
                Err(fault) => {
                    tracing::error!(
                        error = fault,
                        "cannot reload the database CA file; keeping the previous certificates"
                    );
                }
            }
        }
        tls.connector.clone()
    }
}

async fn connect(config: &Config, tls: MakeTlsConnector) -> ConnectionResult<AsyncPgConnection> {
    let connected = config.connect(tls).await;
    let (client, connection) =
        connected.map_err(|error| ConnectionError::BadConnection(explain(&error)))?;
    AsyncPgConnection::try_from_client_and_connection(client, connection).await
}

/// One configuration per host, in the order in which the hosts are tried.
fn each_host(config: &Config) -> Vec<Config> {
    let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
    let mut each: Vec<Config> = (0..hosts).map(|host| of_host(config, host)).collect();
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random && hosts > 1 {
        let first = Uuid::new_v4().as_u128() % hosts as u128;
        each.rotate_left(usize::try_from(first).unwrap_or(0));
    }
    each
}

/// Copies every setting: `Config` has no method that removes hosts.
fn of_host(config: &Config, host: usize) -> Config {
    let mut one = Config::new();
    match config.get_hosts().get(host) {
        Some(Host::Tcp(name)) => drop(one.host(name)),
        Some(Host::Unix(path)) => drop(one.host_path(path)),
        None => {}
    }
    config.get_hostaddrs().get(host).map(|address| one.hostaddr(*address));
    let ports = config.get_ports();
    ports.get(host).or(ports.first()).map(|port| one.port(*port));
    config.get_user().map(|it| one.user(it));
    config.get_password().map(|it| one.password(it));
    config.get_dbname().map(|it| one.dbname(it));
    config.get_options().map(|it| one.options(it));
    config.get_application_name().map(|it| one.application_name(it));
    config.get_connect_timeout().map(|it| one.connect_timeout(*it));
    config.get_tcp_user_timeout().map(|it| one.tcp_user_timeout(*it));
    config.get_keepalives_interval().map(|it| one.keepalives_interval(it));
    config.get_keepalives_retries().map(|it| one.keepalives_retries(it));
    one.keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding())
        .load_balance_hosts(config.get_load_balance_hosts());
    one
}

fn name(config: &Config) -> String {
    match (config.get_hosts().first(), config.get_hostaddrs().first()) {
        (Some(Host::Tcp(name)), _) => name.clone(),
        (Some(Host::Unix(path)), _) => path.display().to_string(),
        (None, Some(address)) => address.to_string(),
        (None, None) => String::new(),
    }
}

fn connector(encryption: &Encryption) -> Result<SslConnector, String> {
    let unusable = |error: ErrorStack| error.to_string();
    // By default it trusts the system's authorities and verifies the host name.
    let mut connector = SslConnector::builder(SslMethod::tls_client()).map_err(unusable)?;
    connector.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(unusable)?;
    // Required by `sslnegotiation=direct`.
    set_postgresql_alpn(&mut connector).map_err(unusable)?;
    match encryption {
        Encryption::Verified(Roots::System) => {}
        Encryption::Verified(Roots::File(ca)) => connector.set_cert_store(trusted(ca)?),
        // With `None`, TLS is off.
        Encryption::Opportunistic | Encryption::None => connector.set_verify(SslVerifyMode::NONE),
    }
    Ok(connector.build())
}

/// A store with only the certificates of the file.
fn trusted(ca: &CaFile) -> Result<X509Store, String> {
    let read = || {
        let mut store = X509StoreBuilder::new()?;
        // Allows the file to name an intermediate authority or the server's own certificate without
        // its root.
        store.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
        for certificate in ca.certificates() {
            store.add_cert(X509::from_der(certificate)?)?;
        }
        Ok(store.build())
    };
    read().map_err(|error: ErrorStack| {
        format!("{} has an unusable certificate: {error}", ca.path().display())
    })
}

/// A connection error with its causes, and a hint if no trusted CA signed the certificate.
fn explain(error: &tokio_postgres::Error) -> String {
    /// OpenSSL's texts for an unknown issuer (`X509_verify_cert_error_string`). Version 1.1.1
    /// writes one of them without the hyphen.
    const UNKNOWN_ISSUER: [&str; 5] = [
        "self-signed certificate",
        "self signed certificate",
        "unable to get issuer certificate",
        "unable to get local issuer certificate",
        "unable to verify the first certificate",
    ];
    let message = Chain(error).to_string();
    // Without verification, OpenSSL adds these texts to unrelated errors too.
    let unverified = message.contains("certificate verify failed");
    if unverified && UNKNOWN_ISSUER.iter().any(|words| message.contains(words)) {
        format!(
            "{message}: its certificate is not signed by a trusted CA \
             (DATABASE_CA_FILE, sslrootcert, or those of the system)"
        )
    } else {
        message
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use test_kit::World;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use crate::{Database, DatabaseSettings, DatabaseUrl};

    /// A host that accepts connections and never responds.
    async fn silent() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    fn database(world: &World, url: &str) -> Database {
        let database_url = DatabaseUrl::parse(url).unwrap();
        Database::new("test", &DatabaseSettings { database_url, ..world.config() })
    }

    #[tokio::test]
    async fn a_host_that_does_not_respond_does_not_block_the_next() {
        let world = World::create().await;
        let (_listener, silent) = silent().await;
        let url = world.database.url();
        let (credentials, server) = url.rsplit_once('@').unwrap();
        let both = format!("{credentials}@{silent},{server}");
        database(&world, &both).ping().await.unwrap();
    }

    #[tokio::test]
    async fn an_abandoned_attempt_closes_its_socket() {
        let mut world = World::create().await;
        world.set("DATABASE_CONNECT_TIMEOUT", 60_000);
        let (listener, silent) = silent().await;
        let database = database(&world, &format!("postgres://user:password@{silent}/database"));
        let attempt = tokio::time::timeout(Duration::from_millis(200), database.ping());
        let (attempt, accepted) = tokio::join!(attempt, listener.accept());
        assert!(attempt.is_err());
        let mut heard = Vec::new();
        accepted.unwrap().0.read_to_end(&mut heard).await.unwrap();
    }
}
