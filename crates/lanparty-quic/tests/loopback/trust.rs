//! Whom a dialler trusts.

use std::time::Duration;

use lanparty_quic::{DialError, Pin, RelayCertificate, Trust, TrustOutcome};
use tempfile::TempDir;

use crate::common::{Home, Relay};

#[tokio::test]
async fn a_first_use_is_shown_and_kept() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    assert_eq!(
        home.outcome(home.trust()).await,
        TrustOutcome::FirstUse(relay.pin)
    );
    assert_eq!(home.outcome(home.trust()).await, TrustOutcome::Known);
}

#[tokio::test]
async fn a_changed_key_is_refused_and_the_remedy_named() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    home.outcome(home.trust()).await;
    let other = Relay::start_on(relay.stop(), TempDir::new().unwrap());
    let error = home.dial(home.trust()).await.unwrap_err();
    let DialError::KeyChanged { shown, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*shown, other.pin);
    assert!(error.to_string().contains(&format!("--relay-pin {}", other.pin)));
    let remedy = Trust {
        pin: Some(other.pin),
        ..home.trust()
    };
    assert_eq!(home.outcome(remedy).await, TrustOutcome::Pinned);
    assert_eq!(home.outcome(home.trust()).await, TrustOutcome::Known);
}

#[tokio::test]
async fn a_wrong_pin_is_refused_and_a_right_one_is_enough() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let pinned = |pin| Trust {
        pin: Some(pin),
        ..home.trust()
    };
    let error = home.dial(pinned(Pin::of_public_key(b"else"))).await.unwrap_err();
    assert!(
        matches!(error, DialError::WrongPin { shown, .. } if shown == relay.pin),
        "{error}"
    );
    assert_eq!(home.outcome(pinned(relay.pin)).await, TrustOutcome::Pinned);
}

#[tokio::test]
async fn the_relays_own_certificate_is_trusted_in_both_formats() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let der = std::fs::read(relay.state.path().join("relay-cert.der")).unwrap();
    let pem = pem(&der);
    for (name, content) in [("cert.der", der.as_slice()), ("cert.pem", pem.as_bytes())] {
        let trust = home.ca(name, content);
        assert_eq!(home.outcome(trust).await, TrustOutcome::Ca, "{name}");
    }
}

#[tokio::test]
async fn another_certificate_does_not_vouch_for_the_relay() {
    let relay = Relay::start();
    let other = RelayCertificate::load_or_create(TempDir::new().unwrap().path()).unwrap();
    let home = Home::new(&relay);
    let error = home.dial(home.ca("other.der", other.der())).await.unwrap_err();
    assert!(matches!(error, DialError::NotSigned { .. }), "{error}");
    let error = home.dial(home.ca("garbage", b"garbage")).await.unwrap_err();
    assert!(error.to_string().contains("settled"), "{error}");
}

#[tokio::test]
async fn a_ca_vouches_for_the_right_name_and_time_only() {
    let authority = Authority::new();
    for (name, days, dialled, trusted) in [
        ("relay.test", (-1, 1), Some("relay.test"), true),
        ("relay.test", (-1, 1), None, false),
        ("relay.test", (-1, 1), Some("other.test"), false),
        ("relay.test", (-3, -1), Some("relay.test"), false),
        ("relay.test", (1, 3), Some("relay.test"), false),
    ] {
        let relay = Relay::with_certificate(&authority.issue(name, days));
        let home = Home::new(&relay);
        let trust = Trust {
            server_name: dialled.map(str::to_owned),
            ..home.ca("ca.pem", authority.certificate.pem().as_bytes())
        };
        match home.dial(trust).await {
            Ok((path, _)) => assert!(
                trusted && path.trust() == TrustOutcome::Ca,
                "{name} {days:?} {dialled:?}"
            ),
            Err(error) => assert!(
                !trusted && matches!(error, DialError::NotSigned { .. }),
                "{name} {days:?} {dialled:?}: {error}"
            ),
        }
    }
}

#[tokio::test]
async fn an_expired_certificate_gets_no_first_use() {
    let authority = Authority::new();
    let relay = Relay::with_certificate(&authority.issue("relay.test", (-3, -1)));
    let home = Home::new(&relay);
    let error = home.dial(home.trust()).await.unwrap_err();
    // A machine without any system CA has nobody who could tell that the certificate has expired.
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        return;
    }
    assert!(matches!(error, DialError::InvalidCertificate { .. }), "{error}");
}

#[tokio::test]
async fn a_damaged_store_is_named_and_nothing_is_trusted() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    std::fs::write(home.trust().store, "garbage").unwrap();
    let error = home.dial(home.trust()).await.unwrap_err();
    assert!(matches!(error, DialError::Trust(_)), "{error}");
}

struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Authority {
            certificate,
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    /// Valid between the days from now; chain and key in PEM.
    fn issue(&self, name: &str, days: (i64, i64)) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let day = |offset: i64| {
            let now = std::time::SystemTime::now();
            let by = Duration::from_secs(offset.unsigned_abs() * 86_400);
            let at = if offset < 0 { now - by } else { now + by };
            at.into()
        };
        (params.not_before, params.not_after) = (day(days.0), day(days.1));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}
