//! Pins of certificates.

use lanparty_wire::Pin;

/// The pin of a certificate in DER; `None` if the bytes are no certificate.
pub fn pin_of_certificate(der: &[u8]) -> Option<Pin> {
    let (rest, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    rest.is_empty()
        .then(|| Pin::of_public_key(certificate.public_key().raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_has_no_pin() {
        assert_eq!(pin_of_certificate(&[0x30; 40]), None);
    }
}
