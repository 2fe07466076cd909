//! Why there is no certificate, and what the operator can do about it.

use std::time::Duration;

use instant_acme::Error;
use lanparty_os::dirs::DirError;
use lanparty_quic::{CertificateError, ListenError};

use super::Plan;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error(transparent)]
    Acme(#[from] Error),
    #[error("the CA offers no HTTP-01 challenge for this domain")]
    NoChallenge,
    #[error("the CA refuses, and does not say why")]
    NoReason,
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Tls(#[from] ListenError),
    #[error(transparent)]
    Keep(#[from] DirError),
}

impl Trouble {
    /// One sentence for the operator, with what to do.
    pub fn sentence(&self, plan: &Plan) -> String {
        let domain = &plan.domain;
        let advice = match self.kind() {
            Some("dns") => format!("give {domain} an address record (A or AAAA) that names this machine"),
            Some("connection" | "unauthorized" | "incorrectResponse" | "tls") => format!(
                "the CA asks at http://{domain}:80: see that {domain} names this machine and that TCP/80 reaches {} here",
                plan.listen
            ),
            Some("rateLimited") => {
                "wait until the CA takes requests for this domain again; while you try things out, use its staging \
                 directory (--acme-directory)"
                    .to_owned()
            }
            Some("rejectedIdentifier" | "caa") => {
                format!("the CA does not certify {domain}; choose another domain, or another CA (--acme-directory)")
            }
            Some("invalidContact" | "unsupportedContact") => {
                "give --acme-contact an address that receives mail, as mailto:name@domain".to_owned()
            }
            Some("externalAccountRequired") => {
                "choose a CA that needs no account made beforehand (--acme-directory)".to_owned()
            }
            Some(_) => "the CA's own page on this error says more".to_owned(),
            None => match self {
                Trouble::Acme(_) => format!("see that this machine reaches {}", plan.directory),
                Trouble::NoChallenge | Trouble::NoReason => {
                    "choose another CA with --acme-directory, or bring a certificate with --cert and --key".to_owned()
                }
                Trouble::Certificate(_) | Trouble::Tls(_) | Trouble::Keep(_) => {
                    "look after the relay's state directory".to_owned()
                }
            },
        };
        format!("no certificate for {domain}: {}; {advice}", causes(self))
    }

    /// How long to wait at least before another try.
    pub fn least_pause(&self) -> Duration {
        match self.kind() {
            Some("rateLimited") => Duration::from_secs(3 * 3600),
            _ => Duration::ZERO,
        }
    }

    /// The CA's name for it (RFC 8555, section 6.7), without its prefix.
    fn kind(&self) -> Option<&str> {
        match self {
            Trouble::Acme(Error::Api(problem)) => {
                let kind = problem.r#type.as_deref()?;
                Some(kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind))
            }
            _ => None,
        }
    }
}

/// The error and what it comes from, in one line.
fn causes(trouble: &Trouble) -> String {
    let mut text = trouble.to_string();
    let mut source = std::error::Error::source(trouble);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use instant_acme::Problem;

    use super::*;

    #[test]
    fn each_refusal_says_what_to_do() {
        let plan = Plan {
            domain: "relay.example.org".into(),
            contact: None,
            directory: "https://ca.example/dir".into(),
            listen: "[::]:80".parse().unwrap(),
        };
        for (kind, expected) in [
            ("dns", "address record"),
            ("connection", "TCP/80 reaches [::]:80"),
            ("rateLimited", "wait until the CA"),
            ("caa", "does not certify relay.example.org"),
            ("badCSR", "says more"),
        ] {
            let problem: Problem = serde_json::from_value(serde_json::json!({
                "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": "because", "status": 403
            }))
            .unwrap();
            let sentence = Trouble::from(Error::from(problem)).sentence(&plan);
            assert!(
                sentence.contains(expected) && sentence.contains("because"),
                "{sentence}"
            );
        }
    }
}
