//! Outbound TLS that expects another name in the certificate than the one in the URL.
//!
//! Owns: `tls_config.server_name`. The library that makes requests has no option for it, so that
//! its TLS settings are made here when, and only when, the option is given.
//! Limit: the name is what the certificate is checked against; the greeting (SNI) still carries the
//! host of the URL, or nothing when that is an address.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _};

use super::client::{ClientError, text};
use super::tls::{CertificateDer, certificates, versions};
use crate::config::prometheus::TlsConfig;

/// Checks certificates as `inner` does, but against `name`.
#[derive(Debug)]
struct Named {
    inner: Arc<dyn ServerCertVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _of_the_url: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner
            .verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Settings that expect `t.server_name`.
///
/// # Errors
/// Names the file or option that cannot be used.
pub(super) fn client_config(t: &TlsConfig, http2: bool) -> Result<ClientConfig, ClientError> {
    let refused = |what: &str, e: &dyn std::fmt::Display| {
        ClientError::Options(format!("tls_config: {what}: {e}"))
    };
    let name = ServerName::try_from(t.server_name.clone())
        .map_err(|e| refused(&format!("server_name {:?}", t.server_name), &e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let ca = text(&t.ca, &t.ca_file, "ca_file")?;
    let inner: Arc<dyn ServerCertVerifier> = if ca.is_empty() {
        let system = rustls_platform_verifier::Verifier::new(Arc::clone(&provider));
        Arc::new(system.map_err(|e| refused("roots of the system", &e))?)
    } else {
        let mut roots = RootCertStore::empty();
        for c in certificates(ca.as_bytes(), "ca").map_err(ClientError::Options)? {
            roots.add(c).map_err(|e| refused("ca", &e))?;
        }
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|e| refused("ca", &e))?
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(t.min_version, t.max_version))
        .map_err(|e| refused("min_version, max_version", &e))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Named { inner, name }));
    let cert = text(&t.cert, &t.cert_file, "cert_file")?;
    let mut config = if cert.is_empty() {
        builder.with_no_client_auth()
    } else {
        let key = text(t.key.expose(), &t.key_file, "key_file")?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| refused("key", &e))?;
        let chain = certificates(cert.as_bytes(), "cert").map_err(ClientError::Options)?;
        builder
            .with_client_auth_cert(chain, key)
            .map_err(|e| refused("cert, key", &e))?
    };
    if http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Secret;
    use crate::config::prometheus::HttpClientConfig;
    use crate::config::web::TlsServerConfig;
    use crate::http::client::{ClientLimits, build};

    /// A server on an address whose certificate is for `svc.internal`; gives the authority.
    async fn server() -> (String, u16) {
        let mut p = CertificateParams::new(Vec::new()).unwrap();
        p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(p, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["svc.internal".to_owned()]).unwrap();
        let own = own.signed_by(&key, &ca).unwrap();
        let config = super::super::tls::server_config(
            &TlsServerConfig {
                cert: own.pem(),
                key: Secret::new(key.serialize_pem()),
                ..TlsServerConfig::default()
            },
            false,
        )
        .unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = socket.accept().await {
                // A client that does not like the certificate goes away.
                let Ok(mut tls) = acceptor.accept(tcp).await else {
                    continue;
                };
                let mut request = [0; 1024];
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                if tls.read(&mut request).await.is_ok() {
                    drop(tls.write_all(answer).await);
                    drop(tls.shutdown().await);
                }
            }
        });
        (ca.pem(), port)
    }

    #[tokio::test]
    async fn the_certificate_is_checked_against_the_name_that_is_given() {
        let (ca, port) = server().await;
        let limits = ClientLimits {
            timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(20),
        };
        for (name, verified) in [
            ("svc.internal", true),
            ("other.internal", false),
            ("127.0.0.1", false),
            ("", false),
        ] {
            let mut config = HttpClientConfig::default();
            config.tls_config.ca = ca.clone();
            config.tls_config.server_name = name.to_owned();
            let client = build(&config, limits).unwrap();
            let answer = client.get(format!("https://127.0.0.1:{port}/")).send();
            assert_eq!(answer.await.is_ok(), verified, "{name:?}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        let t = TlsConfig {
            server_name: "a b".into(),
            ..TlsConfig::default()
        };
        let e = client_config(&t, true).unwrap_err().to_string();
        assert!(e.contains("server_name \"a b\""), "{e}");
    }
}
