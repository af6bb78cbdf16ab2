//! TLS of outbound connections that are no HTTP: mail.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::client::text;
use crate::config::prometheus::{TlsConfig, TlsVersion};

/// The settings of a client. Files are read now.
///
/// # Errors
/// Names the file or field that cannot be used.
pub(crate) fn client_config(t: &TlsConfig) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: Vec<&'static rustls::SupportedProtocolVersion> = [
        (TlsVersion::Tls12, &rustls::version::TLS12),
        (TlsVersion::Tls13, &rustls::version::TLS13),
    ]
    .into_iter()
    .filter(|(v, _)| t.min_version.is_none_or(|m| *v >= m) && t.max_version.is_none_or(|m| *v <= m))
    .map(|(_, v)| v)
    .collect();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|e| format!("min_version, max_version: {e}"))?;
    let ca = text(&t.ca, &t.ca_file, "ca_file").map_err(|e| e.to_string())?;
    let builder = if t.insecure_skip_verify {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    } else if ca.is_empty() {
        builder
            .with_platform_verifier()
            .map_err(|e| e.to_string())?
    } else {
        let mut roots = rustls::RootCertStore::empty();
        for c in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            let c = c.map_err(|e| format!("ca_file {}: {e}", t.ca_file))?;
            roots
                .add(c)
                .map_err(|e| format!("ca_file {}: {e}", t.ca_file))?;
        }
        builder.with_root_certificates(roots)
    };
    let cert = text(&t.cert, &t.cert_file, "cert_file").map_err(|e| e.to_string())?;
    let config = if cert.is_empty() {
        builder.with_no_client_auth()
    } else {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert.as_bytes()).collect();
        let chain = chain.map_err(|e| format!("cert_file {}: {e}", t.cert_file))?;
        let key = text(t.key.expose(), &t.key_file, "key_file").map_err(|e| e.to_string())?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|e| format!("key_file {}: {e}", t.key_file))?;
        builder
            .with_client_auth_cert(chain, key)
            .map_err(|e| format!("cert_file {}: {e}", t.cert_file))?
    };
    Ok(Arc::new(config))
}

/// Takes any certificate: what `insecure_skip_verify` asks for. Signatures are still checked.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match end_entity.is_empty() {
            true => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
            false => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
