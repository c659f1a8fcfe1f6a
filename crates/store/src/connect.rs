//! The one way to a database: pools, listeners and migrations all connect here.

use std::error::Error;
use std::io;
use std::sync::Arc;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use service_kit::Chain;
use service_kit::credentials::CaFile;
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::DatabaseUrl;
use crate::database_url::{Encryption, Roots};

/// Opens connections to one database.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Config,
    /// What is wrong with what is trusted is told to whoever connects.
    tls: Result<MakeRustlsConnect, String>,
}

impl Connector {
    /// Reads what is trusted; nothing is connected.
    pub(crate) fn new(url: &DatabaseUrl, ca: Option<&CaFile>) -> Self {
        let (config, encryption) = url.resolve(ca);
        let tls = client_config(encryption).map(MakeRustlsConnect::new);
        Self { config, tls }
    }

    /// Changes what is asked of the server.
    pub(crate) fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> ConnectionResult<AsyncPgConnection> {
        let tls = self.tls.clone().map_err(ConnectionError::BadConnection)?;
        let connected = self.config.connect(tls).await;
        let (client, connection) =
            connected.map_err(|error| ConnectionError::BadConnection(explain(&error)))?;
        AsyncPgConnection::try_from_client_and_connection(client, connection).await
    }
}

fn client_config(encryption: Encryption) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = match encryption {
        Encryption::Verified(roots) => {
            builder.with_root_certificates(trusted(&roots)?).with_no_client_auth()
        }
        // With `None` it is never asked.
        Encryption::Opportunistic | Encryption::None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth(),
    };
    // What `sslnegotiation=direct` needs.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

fn trusted(roots: &Roots) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::File(ca) => {
            for certificate in ca.certificates() {
                let added = store.add(CertificateDer::from_slice(certificate).into_owned());
                added.map_err(|error| {
                    format!("{} has an unusable certificate: {error}", ca.path().display())
                })?;
            }
        }
        // Systems have certificates that nobody can use; the others do.
        Roots::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err("this system trusts nobody: a CA has to be named \
                            (DATABASE_CA_FILE or sslrootcert)"
                    .to_owned());
            }
        }
    }
    Ok(store)
}

/// An error of a connection with its causes, and what helps where that is not obvious.
fn explain(error: &tokio_postgres::Error) -> String {
    let said = Chain(error).to_string();
    let unknown_issuer = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
    if tls_error(error) == Some(&unknown_issuer) {
        format!(
            "{said}: its certificate is not signed by the CA that is trusted \
             (DATABASE_CA_FILE, sslrootcert, or those of the system)"
        )
    } else {
        said
    }
}

fn tls_error(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    let io: &io::Error = error.source()?.downcast_ref()?;
    io.get_ref()?.downcast_ref()
}

/// Takes any certificate, as long as its key is behind the handshake.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
