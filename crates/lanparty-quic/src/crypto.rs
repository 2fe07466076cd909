//! Whose ciphers TLS uses, and which of them first.

use std::sync::Arc;

use rustls::{
    CipherSuite,
    crypto::{CryptoProvider, ring},
};

/// ring, with AES-128-GCM before AES-256-GCM: every frame is sealed and opened at each hop, and ten rounds instead of fourteen are what
/// that costs less. 128 bits are what QUIC itself relies on for its first packets, and what the key exchange is worth.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_cipher_is_asked_for_first_and_no_other_is_lost() {
        let (ours, all) = (provider().cipher_suites.clone(), ring::ALL_CIPHER_SUITES);
        assert_eq!(ours[0].suite(), CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(ours.len(), all.len());
    }
}
