//! TLS of our listener, built from the web configuration file.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::prometheus::TlsVersion;
use crate::config::web::{ClientAuth, TlsServerConfig};

/// Text that is configured directly or in a file.
fn pem(inline: &str, file: &str, what: &str) -> Result<Vec<u8>, String> {
    if file.is_empty() {
        return Ok(inline.as_bytes().to_vec());
    }
    std::fs::read(file).map_err(|e| format!("{what} {file}: {e}"))
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = read.map_err(|e| format!("{what}: {e}"))?;
    if certificates.is_empty() {
        return Err(format!("{what}: no certificate found"));
    }
    Ok(certificates)
}

/// The settings of the listener.
///
/// # Errors
/// Names the file or field that cannot be used.
pub(super) fn server_config(c: &TlsServerConfig, http2: bool) -> Result<ServerConfig, String> {
    let chain = certificates(&pem(&c.cert, &c.cert_file, "cert_file")?, "certificate")?;
    let key = pem(c.key.expose(), &c.key_file, "key_file")?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| format!("private key: {e}"))?;
    if !c.client_allowed_sans.is_empty() {
        // Ignoring a restriction would let everybody in.
        return Err("client_allowed_sans is not supported".into());
    }
    let versions: Vec<&'static rustls::SupportedProtocolVersion> = [
        (TlsVersion::Tls12, &rustls::version::TLS12),
        (TlsVersion::Tls13, &rustls::version::TLS13),
    ]
    .into_iter()
    .filter(|(v, _)| c.min_version.is_none_or(|m| *v >= m) && c.max_version.is_none_or(|m| *v <= m))
    .map(|(_, v)| v)
    .collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|e| format!("min_version, max_version: {e}"))?;
    let auth = c.client_auth()?;
    let builder = if auth == ClientAuth::None {
        builder.with_no_client_auth()
    } else {
        let mut roots = rustls::RootCertStore::empty();
        let ca = pem(&c.client_ca, &c.client_ca_file, "client_ca_file")?;
        for certificate in certificates(&ca, "client_ca")? {
            roots
                .add(certificate)
                .map_err(|e| format!("client_ca: {e}"))?;
        }
        let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        if auth == ClientAuth::Optional {
            verifier = verifier.allow_unauthenticated();
        }
        builder.with_client_cert_verifier(verifier.build().map_err(|e| format!("client_ca: {e}"))?)
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|e| format!("certificate and key: {e}"))?;
    if http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(config)
}
