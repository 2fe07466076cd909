//! A relay's certificate from a CA, for the key that the relay has anyway: who has pinned that key need not notice.

use std::{fmt, path::Path, sync::Arc};

use parking_lot::Mutex;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::{CertificateError, RelayCertificate, trust};

impl RelayCertificate {
    /// A request (PKCS#10, RFC 2986) in DER that a CA certifies this key for `domain`.
    ///
    /// # Errors
    /// [`CertificateError::NotForCas`] for an Ed25519 key, which public CAs do not certify; or the domain is no DNS name.
    pub fn request(&self, domain: &str) -> Result<Vec<u8>, CertificateError> {
        let key = KeyPair::try_from(&self.key).map_err(CertificateError::Generate)?;
        if key.algorithm() == &PKCS_ED25519 {
            return Err(CertificateError::NotForCas);
        }
        let params = CertificateParams::new(vec![domain.to_owned()]).map_err(CertificateError::Generate)?;
        let request = params
            .serialize_request(&key)
            .map_err(CertificateError::Generate)?;
        Ok(request.der().to_vec())
    }

    /// The same key with the chain that a CA has given, in PEM. `file` is where it is kept, for the error.
    ///
    /// # Errors
    /// It is no chain, or that of another key.
    pub fn with_chain(&self, pem: &[u8], file: &Path) -> Result<RelayCertificate, CertificateError> {
        let none = || CertificateError::NoCertificate(file.into());
        let chain = trust::certificates(pem).ok_or_else(none)?;
        RelayCertificate::new(chain, self.key.clone_key(), (file, file))
    }

    /// From when until when the certificate is valid, in seconds since 1970.
    pub fn validity(&self) -> (u64, u64) {
        let parsed = x509_parser::parse_x509_certificate(self.der()).ok();
        parsed.map_or((0, 0), |(_, certificate)| {
            let validity = certificate.validity();
            let seconds =
                |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or_default();
            (seconds(validity.not_before), seconds(validity.not_after))
        })
    }

    pub(crate) fn certified(&self) -> Result<CertifiedKey, rustls::Error> {
        let key = rustls::crypto::ring::sign::any_supported_type(&self.key)?;
        Ok(CertifiedKey::new(self.chain.clone(), key))
    }
}

/// The certificate that handshakes are answered with, from the next one on.
pub(crate) struct Shown(Mutex<Arc<CertifiedKey>>);

impl Shown {
    pub(crate) fn new(certificate: &RelayCertificate) -> Result<Shown, rustls::Error> {
        Ok(Shown(Mutex::new(Arc::new(certificate.certified()?))))
    }

    pub(crate) fn set(&self, certificate: &RelayCertificate) -> Result<(), rustls::Error> {
        *self.0.lock() = Arc::new(certificate.certified()?);
        Ok(())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.lock().clone())
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, IsCa, Issuer};

    use super::*;

    #[test]
    fn a_cas_certificate_keeps_the_pin() {
        let directory = tempfile::tempdir().unwrap();
        let own = RelayCertificate::load_or_create(directory.path()).unwrap();
        assert!(!own.request("relay.example.org").unwrap().is_empty());
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = Issuer::new(params, KeyPair::generate().unwrap());
        let key = KeyPair::try_from(&own.key).unwrap();
        let params = CertificateParams::new(vec!["relay.example.org".into()]).unwrap();
        let certified = params.signed_by(&key, &ca).unwrap();
        let chain = own
            .with_chain(certified.pem().as_bytes(), Path::new("chain.pem"))
            .unwrap();
        assert_eq!(chain.pin(), own.pin());
        assert_ne!(chain.der(), own.der());
        let other = RelayCertificate::load_or_create(&directory.path().join("other")).unwrap();
        let mixed = other.with_chain(certified.pem().as_bytes(), Path::new("chain.pem"));
        assert!(matches!(mixed, Err(CertificateError::Mismatch { .. })));
    }

    #[test]
    fn an_older_relays_ed25519_key_is_not_for_cas() {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        std::fs::write(directory.path().join("relay-key.pem"), key.serialize_pem()).unwrap();
        let old = RelayCertificate::load_or_create(directory.path()).unwrap();
        let refused = old.request("relay.example.org");
        assert!(matches!(refused, Err(CertificateError::NotForCas)));
    }
}
