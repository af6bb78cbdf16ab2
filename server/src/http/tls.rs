//! TLS of our listener, built from the web configuration file.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
pub(super) use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, UnixTime};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::config::prometheus::TlsVersion;
use crate::config::web::{ClientAuth, TlsServerConfig};

/// Text that is configured directly or in a file.
fn pem(inline: &str, file: &str, what: &str) -> Result<Vec<u8>, String> {
    if file.is_empty() {
        return Ok(inline.as_bytes().to_vec());
    }
    std::fs::read(file).map_err(|e| format!("{what} {file}: {e}"))
}

/// The certificates of a PEM text.
///
/// # Errors
/// Says `what` is not such a text, or has none.
pub(super) fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = read.map_err(|e| format!("{what}: {e}"))?;
    if certificates.is_empty() {
        return Err(format!("{what}: no certificate found"));
    }
    Ok(certificates)
}

/// The protocol versions between two bounds that are still spoken.
pub(super) fn versions(
    min: Option<TlsVersion>,
    max: Option<TlsVersion>,
) -> Vec<&'static rustls::SupportedProtocolVersion> {
    [
        (TlsVersion::Tls12, &rustls::version::TLS12),
        (TlsVersion::Tls13, &rustls::version::TLS13),
    ]
    .into_iter()
    .filter(|(v, _)| min.is_none_or(|m| *v >= m) && max.is_none_or(|m| *v <= m))
    .map(|(_, v)| v)
    .collect()
}

/// The settings of the listener.
///
/// # Errors
/// Names the file or field that cannot be used.
pub(crate) fn server_config(c: &TlsServerConfig, http2: bool) -> Result<ServerConfig, String> {
    let chain = certificates(&pem(&c.cert, &c.cert_file, "cert_file")?, "certificate")?;
    let key = pem(c.key.expose(), &c.key_file, "key_file")?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| format!("private key: {e}"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(c.min_version, c.max_version))
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
        let verifier = verifier.build().map_err(|e| format!("client_ca: {e}"))?;
        builder.with_client_cert_verifier(if c.client_allowed_sans.is_empty() {
            verifier
        } else {
            Arc::new(AllowedNames {
                chain: verifier,
                names: c.client_allowed_sans.clone(),
            })
        })
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

/// Accepts a client certificate that the chain's verifier accepts and that carries one of `names`
/// as a subject alternative name: DNS name, mail address, IP address or URI, to the letter.
#[derive(Debug)]
struct AllowedNames {
    chain: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

impl AllowedNames {
    fn allows(&self, certificate: &[u8]) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return false;
        };
        let Ok(Some(names)) = certificate.subject_alternative_name() else {
            return false;
        };
        names.value.general_names.iter().any(|n| {
            let name = match n {
                GeneralName::DNSName(s) | GeneralName::RFC822Name(s) | GeneralName::URI(s) => {
                    (*s).to_owned()
                }
                GeneralName::IPAddress(b) => address(b),
                _ => return false,
            };
            self.names.contains(&name)
        })
    }
}

/// An address as its text, empty when it has a length that no address has.
fn address(bytes: &[u8]) -> String {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return std::net::Ipv4Addr::from(v4).to_string();
    }
    <[u8; 16]>::try_from(bytes)
        .map(|v6| std::net::Ipv6Addr::from(v6).to_string())
        .unwrap_or_default()
}

impl ClientCertVerifier for AllowedNames {
    fn offer_client_auth(&self) -> bool {
        self.chain.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        if self.allows(end_entity) {
            return Ok(verified);
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};

    struct Issued {
        certificate: rcgen::Certificate,
        key: KeyPair,
    }

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut p = CertificateParams::new(Vec::new()).unwrap();
        p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(p, KeyPair::generate().unwrap()).unwrap()
    }

    fn issue(by: &CertifiedIssuer<'_, KeyPair>, names: Vec<SanType>) -> Issued {
        let mut p = CertificateParams::new(Vec::new()).unwrap();
        p.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        Issued {
            certificate: p.signed_by(&key, by).unwrap(),
            key,
        }
    }

    /// Handshakes in memory with a client that shows `client`; true when the server accepts it.
    fn accepted(server: ServerConfig, authority: &[u8], client: Option<&Issued>) -> bool {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(authority.to_vec())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            Some(c) => {
                let key = PrivateKeyDer::try_from(c.key.serialize_der()).unwrap();
                let chain = vec![c.certificate.der().clone()];
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        let name = "localhost".try_into().unwrap();
        let mut c = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut s = rustls::ServerConnection::new(Arc::new(server)).unwrap();
        for _ in 0..10 {
            let mut wire = Vec::new();
            while c.wants_write() {
                c.write_tls(&mut wire).unwrap();
            }
            let mut wire = &wire[..];
            while !wire.is_empty() {
                s.read_tls(&mut wire).unwrap();
                if s.process_new_packets().is_err() {
                    return false;
                }
            }
            let mut wire = Vec::new();
            while s.wants_write() {
                s.write_tls(&mut wire).unwrap();
            }
            let mut wire = &wire[..];
            while !wire.is_empty() {
                c.read_tls(&mut wire).unwrap();
                c.process_new_packets().unwrap();
            }
        }
        !s.is_handshaking()
    }

    #[test]
    fn only_allowed_names_are_let_in() {
        let ca = authority();
        let dns = |n: &str| SanType::DnsName(n.try_into().unwrap());
        let own = issue(&ca, vec![dns("localhost")]);
        let config = |sans: &[&str], auth: &str| {
            let c = TlsServerConfig {
                cert: own.certificate.pem(),
                key: Secret::new(own.key.serialize_pem()),
                client_ca: ca.pem(),
                client_auth_type: auth.into(),
                client_allowed_sans: sans.iter().map(|s| (*s).to_owned()).collect(),
                ..TlsServerConfig::default()
            };
            server_config(&c, false).unwrap()
        };
        let must = "RequireAndVerifyClientCert";
        let client = issue(
            &ca,
            vec![
                dns("client.example"),
                SanType::IpAddress("10.1.2.3".parse().unwrap()),
                SanType::IpAddress("2001:db8::1".parse().unwrap()),
                SanType::Rfc822Name("a@example.org".try_into().unwrap()),
                SanType::URI("spiffe://x/y".try_into().unwrap()),
            ],
        );
        let stranger = issue(&authority(), vec![dns("client.example")]);
        let der = ca.der().to_vec();
        for (allowed, yes) in [
            ("client.example", true),
            ("10.1.2.3", true),
            ("2001:db8::1", true),
            ("a@example.org", true),
            ("spiffe://x/y", true),
            ("other.example", false),
            ("CLIENT.EXAMPLE", false),
            ("*", false),
        ] {
            let got = accepted(config(&[allowed], must), &der, Some(&client));
            assert_eq!(got, yes, "{allowed}");
        }
        assert!(accepted(config(&[], must), &der, Some(&client)));
        // The name alone is not enough, and no certificate is none that is allowed.
        assert!(!accepted(
            config(&["client.example"], must),
            &der,
            Some(&stranger)
        ));
        assert!(!accepted(config(&["client.example"], must), &der, None));
        let may = "VerifyClientCertIfGiven";
        assert!(accepted(config(&["client.example"], may), &der, None));
        assert!(!accepted(config(&["x"], may), &der, Some(&client)));
        let bare = issue(&ca, Vec::new());
        assert!(!accepted(
            config(&["client.example"], must),
            &der,
            Some(&bare)
        ));
    }
}
