//! A PostgreSQL and a Kafka that speak TLS and know passwords, with certificates that were made a moment ago.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio_postgres::NoTls;

use crate::ports::free_port;
use crate::{PrivateStack, Stack, eventually};

/// Who may log in to Kafka.
pub const KAFKA_USER: &str = "sales";
/// The user's password.
pub const KAFKA_PASSWORD: &str = "correct-horse-battery-staple";

/// A stack whose servers have a certificate for 127.0.0.1, and for no other name.
#[derive(Debug)]
pub struct SecureStack {
    stack: PrivateStack,
    folder: PathBuf,
    ports: Ports,
}

/// Kafka's listeners, beside the one without any security.
#[derive(Clone, Copy, Debug)]
struct Ports {
    login: u16,
    plain_login: u16,
    certificate: u16,
}

impl SecureStack {
    /// Makes certificates, starts both servers with them, and makes a user of Kafka.
    pub async fn start(name: &'static str) -> Self {
        let ports =
            Ports { login: free_port(), plain_login: free_port(), certificate: free_port() };
        let mut folder = PathBuf::new();
        let stack = PrivateStack::start_with(name, 1, |state| {
            folder = state.join("certificates");
            fs::create_dir(&folder).expect("a folder");
            make_certificates(&folder);
            let properties = kafka_properties(&folder, ports);
            fs::write(state.join("kafka.extra.properties"), properties).expect("properties");
        });
        let secure = Self { stack, folder, ports };
        secure.encrypt_postgres().await;
        // PLAIN has its passwords in the broker's settings, SCRAM in its metadata.
        std::thread::scope(|scope| {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                let login = format!("{mechanism}=[password={KAFKA_PASSWORD}]");
                let stack = &secure.stack;
                // Kafka takes no two passwords of one user in one request.
                scope.spawn(move || {
                    let user = ["--entity-type", "users", "--entity-name", KAFKA_USER];
                    let change = ["--alter", "--add-config", &login];
                    stack.kafka_tool(
                        "kafka.admin.ConfigCommand",
                        &[&user[..], &change[..]].concat(),
                    );
                });
            }
        });
        secure
    }

    /// Where it is for whoever wants no security.
    pub fn addresses(&self) -> Stack {
        self.stack.addresses()
    }

    /// Kafka for whoever has a password, over TLS.
    pub fn login_brokers(&self) -> String {
        format!("127.0.0.1:{}", self.ports.login)
    }

    /// Kafka for whoever has a password, without TLS.
    pub fn plain_login_brokers(&self) -> String {
        format!("127.0.0.1:{}", self.ports.plain_login)
    }

    /// Kafka for whoever has a certificate.
    pub fn certificate_brokers(&self) -> String {
        format!("127.0.0.1:{}", self.ports.certificate)
    }

    /// The CA that has signed the certificates of both servers.
    pub fn ca_file(&self) -> String {
        self.file("ca.pem")
    }

    /// A CA that has signed none of them.
    pub fn strange_ca_file(&self) -> String {
        self.file("stranger.pem")
    }

    /// A certificate that the CA has signed for a client, with its key.
    pub fn client_file(&self) -> String {
        self.file("client.pem")
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("UTF-8").to_owned()
    }

    async fn encrypt_postgres(&self) {
        let url = self.addresses().database_url;
        let connect = async || {
            let (client, connection) =
                tokio_postgres::connect(&url, NoTls).await.expect("a connection");
            tokio::spawn(connection);
            client
        };
        let server = self.file("server.pem");
        let client = connect().await;
        for statement in [
            &format!("ALTER SYSTEM SET ssl_cert_file = '{server}'"),
            &format!("ALTER SYSTEM SET ssl_key_file = '{server}'"),
            "ALTER SYSTEM SET ssl = on",
            "SELECT pg_reload_conf()",
        ] {
            client.batch_execute(statement).await.expect(statement);
        }
        eventually("Postgres encrypts", async || {
            let ssl = connect().await.query_one("SHOW ssl", &[]).await.expect("an answer");
            (ssl.get::<_, &str>(0) == "on").then_some(())
        })
        .await;
    }
}

fn make_certificates(folder: &Path) {
    let ca = authority("Sales test CA", &folder.join("ca.pem"));
    authority("Stranger", &folder.join("stranger.pem"));
    certificate(&ca, "127.0.0.1", &folder.join("server.pem"));
    certificate(&ca, "client.test", &folder.join("client.pem"));
}

fn authority(name: &str, file: &Path) -> Issuer<'static, KeyPair> {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).expect("a certificate");
    fs::write(file, certificate.pem()).expect("a file");
    Issuer::new(params, key)
}

/// Writes a certificate for `host` and its key.
fn certificate(ca: &Issuer<'_, KeyPair>, host: &str, file: &Path) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([host.to_owned()]).expect("a host");
    params.distinguished_name.push(DnType::CommonName, host);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, ca).expect("a certificate");
    let text = [key.serialize_pem(), certificate.pem()].concat();
    // Postgres takes no key that others may read.
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    std::io::Write::write_all(&mut options.open(file).expect("a file"), text.as_bytes())
        .expect("a file");
}

fn kafka_properties(certificates: &Path, ports: Ports) -> String {
    let Ports { login, plain_login, certificate } = ports;
    let folder = certificates.display();
    let own = format!(
        "LOGIN://127.0.0.1:{login},PLAIN_LOGIN://127.0.0.1:{plain_login},CERTIFICATE://127.0.0.1:{certificate}"
    );
    let mut properties = format!(
        "listeners=CLIENT://127.0.0.1:@CLIENT_PORT@,CONTROLLER://127.0.0.1:@CONTROLLER_PORT@,{own}
advertised.listeners=CLIENT://127.0.0.1:@CLIENT_PORT@,{own}
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_SSL,PLAIN_LOGIN:SASL_PLAINTEXT,CERTIFICATE:SSL
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.certificate.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
"
    );
    let security = "org.apache.kafka.common.security";
    for listener in ["login", "plain_login"] {
        let jaas = |mechanism: &str, module: &str| {
            format!("listener.name.{listener}.{mechanism}.sasl.jaas.config={security}.{module}\n")
        };
        let plain =
            format!("plain.PlainLoginModule required user_{KAFKA_USER}=\"{KAFKA_PASSWORD}\";");
        properties += &jaas("plain", &plain);
        for mechanism in ["scram-sha-256", "scram-sha-512"] {
            properties += &jaas(mechanism, "scram.ScramLoginModule required;");
        }
    }
    properties
}
