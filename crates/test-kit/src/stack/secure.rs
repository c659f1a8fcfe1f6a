//! A PostgreSQL and a Kafka with TLS and password authentication. Each start generates new
//! certificates.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::database::connect;
use crate::ports::free_port;
use crate::{PrivateStack, Stack, eventually};

/// The Kafka user.
pub const KAFKA_USER: &str = "sales";
/// The password of the Kafka user.
pub const KAFKA_PASSWORD: &str = "correct-horse-battery-staple";

/// A stack whose servers have a certificate for 127.0.0.1 only.
#[derive(Debug)]
pub struct SecureStack {
    stack: PrivateStack,
    folder: PathBuf,
    ports: Ports,
}

/// The ports of Kafka's secured listeners. A plaintext listener without authentication exists as
/// well.
#[derive(Clone, Copy, Debug)]
struct Ports {
    login: u16,
    plain_login: u16,
    certificate: u16,
}

impl SecureStack {
    /// Creates certificates, starts both servers with them, and creates the Kafka user.
    pub async fn start(name: &'static str) -> Self {
        let ports =
            Ports { login: free_port(), plain_login: free_port(), certificate: free_port() };
        let mut folder = PathBuf::new();
        let stack = PrivateStack::start_with(name, 1, |state| {
            folder = state.join("certificates");
            fs::create_dir(&folder).expect("cannot create the certificates folder");
            make_certificates(&folder);
            let properties = kafka_properties(&folder, ports);
            fs::write(state.join("kafka.extra.properties"), properties)
                .expect("cannot write the properties");
        });
        let secure = Self { stack, folder, ports };
        secure.encrypt_postgres().await;
        // PLAIN passwords are in the broker's settings, SCRAM passwords in its metadata.
        std::thread::scope(|scope| {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                let login = format!("{mechanism}=[password={KAFKA_PASSWORD}]");
                let stack = &secure.stack;
                // Kafka rejects two passwords of one user in one request.
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

    /// The addresses of the servers without TLS and authentication.
    pub fn addresses(&self) -> Stack {
        self.stack.addresses()
    }

    /// The Kafka listener with passwords over TLS (`SASL_SSL`).
    pub fn login_brokers(&self) -> String {
        format!("127.0.0.1:{}", self.ports.login)
    }

    /// The Kafka listener with passwords without TLS (`SASL_PLAINTEXT`).
    pub fn plain_login_brokers(&self) -> String {
        format!("127.0.0.1:{}", self.ports.plain_login)
    }

    /// The Kafka listener that requires a client certificate (`SSL`).
    pub fn certificate_brokers(&self) -> String {
        format!("127.0.0.1:{}", self.ports.certificate)
    }

    /// The CA that signed the certificates of both servers.
    pub fn ca_file(&self) -> String {
        self.file("ca.pem")
    }

    /// A CA that signed none of the certificates.
    pub fn untrusted_ca_file(&self) -> String {
        self.file("untrusted.pem")
    }

    /// A client certificate that the CA signed, with its key.
    pub fn client_file(&self) -> String {
        self.file("client.pem")
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("the path is not UTF-8").to_owned()
    }

    async fn encrypt_postgres(&self) {
        let url = self.addresses().database_url;
        let server = self.file("server.pem");
        let client = connect(&url).await;
        for statement in [
            &format!("ALTER SYSTEM SET ssl_cert_file = '{server}'"),
            &format!("ALTER SYSTEM SET ssl_key_file = '{server}'"),
            "ALTER SYSTEM SET ssl = on",
            "SELECT pg_reload_conf()",
        ] {
            client.batch_execute(statement).await.expect(statement);
        }
        eventually("PostgreSQL has TLS enabled", async || {
            let client = connect(&url).await;
            let ssl = client.query_one("SHOW ssl", &[]).await.expect("cannot read the ssl setting");
            (ssl.get::<_, &str>(0) == "on").then_some(())
        })
        .await;
    }
}

fn make_certificates(folder: &Path) {
    let ca = authority("Sales test CA", &folder.join("ca.pem"));
    authority("Untrusted CA", &folder.join("untrusted.pem"));
    certificate(&ca, "127.0.0.1", &folder.join("server.pem"));
    certificate(&ca, "client.test", &folder.join("client.pem"));
}

fn authority(name: &str, file: &Path) -> Issuer<'static, KeyPair> {
    let key = KeyPair::generate().expect("cannot generate a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).expect("cannot sign the certificate");
    fs::write(file, certificate.pem()).expect("cannot write the certificate");
    Issuer::new(params, key)
}

/// Writes a certificate for `host` and its key.
fn certificate(ca: &Issuer<'_, KeyPair>, host: &str, file: &Path) {
    let key = KeyPair::generate().expect("cannot generate a key");
    let mut params = CertificateParams::new([host.to_owned()]).expect("the host name is invalid");
    params.distinguished_name.push(DnType::CommonName, host);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, ca).expect("cannot sign the certificate");
    let text = [key.serialize_pem(), certificate.pem()].concat();
    // PostgreSQL rejects a key file that other users may read.
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(file).expect("cannot create the key file");
    std::io::Write::write_all(&mut file, text.as_bytes()).expect("cannot write the key file");
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
