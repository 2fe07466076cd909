//! Whom a client takes for its relay: a pin, a certificate file, the system's CAs, then the key seen at the first use.
//!
//! What was seen is kept, so that a relay whose key changes is refused loudly, and one that was once vouched for by a CA cannot
//! quietly turn into one that is not. There is no way to switch this off.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use lanparty_wire::RelayAddress;
use rustls::{
    RootCertStore,
    client::WebPkiServerVerifier,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde::{Deserialize, Serialize};

use crate::{Pin, file, pin_of_certificate, verify::Anchor};

/// What a client is told about its relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// This key and no other.
    pub pin: Option<Pin>,
    /// DER or PEM: CAs, or the relay's own certificate.
    pub ca_cert: Option<PathBuf>,
    /// The name that the relay's certificate must carry, if it is not the host that is dialled.
    pub server_name: Option<String>,
    /// Where the keys of relays are kept that were trusted at their first use.
    pub store: PathBuf,
}

/// Why a relay was trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustOutcome {
    /// It has the pinned key.
    Pinned,
    /// The given certificate file vouches for it.
    Ca,
    /// One of the system's CAs vouches for it.
    System,
    /// It was seen for the first time, and its key is kept from now on. Show it.
    FirstUse(Pin),
    /// It has the key that was kept.
    Known,
}

/// Why trust cannot even be set up.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("cannot read the certificate file {0}")]
    ReadCa(PathBuf, #[source] io::Error),
    #[error("{0} holds no certificate; give the relay's certificate or a CA's, in DER or PEM")]
    NoCertificate(PathBuf),
    #[error("cannot read the known relays in {0}")]
    ReadStore(PathBuf, #[source] io::Error),
    #[error(
        "the known relays in {0} are damaged; restore the file, or remove it to trust relays anew at their first use"
    )]
    DamagedStore(PathBuf, #[source] serde_json::Error),
    #[error("cannot keep the relay's key in {0}")]
    WriteStore(PathBuf, #[source] io::Error),
}

/// What was seen of a relay before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Known {
    /// A certificate that the system's CAs vouched for.
    SystemCa,
    /// This key, without a CA.
    Key(Pin),
}

/// [`Trust`] with its files read.
#[derive(Debug)]
pub(crate) struct TrustAnchors {
    trust: Trust,
    ca: Option<(Vec<Pin>, Option<Arc<WebPkiServerVerifier>>)>,
    system: Option<Arc<WebPkiServerVerifier>>,
}

impl TrustAnchors {
    pub(crate) fn load(trust: Trust, provider: &Arc<CryptoProvider>) -> Result<TrustAnchors, TrustError> {
        let ca = match &trust.ca_cert {
            Some(path) => Some(read_ca(path, provider)?),
            None => None,
        };
        let system = if trust.pin.is_none() && ca.is_none() {
            chain_verifier(rustls_native_certs::load_native_certs().certs, provider)
        } else {
            None
        };
        Ok(TrustAnchors { trust, ca, system })
    }

    pub(crate) fn server_name(&self) -> Option<&str> {
        self.trust.server_name.as_deref()
    }

    /// What the next dial to `relay` must find.
    pub(crate) fn anchor(&self, relay: &RelayAddress) -> Result<Anchor, TrustError> {
        if let Some(pin) = self.trust.pin {
            return Ok(Anchor::Pin(pin));
        }
        if let Some((keys, chains)) = &self.ca {
            return Ok(Anchor::Ca {
                keys: keys.clone(),
                chains: chains.clone(),
            });
        }
        Ok(Anchor::Open {
            system: self.system.clone(),
            known: read_store(&self.trust.store)?.get(&relay.to_string()).copied(),
        })
    }

    /// Keeps what a finished handshake has shown.
    pub(crate) fn remember(
        &self,
        relay: &RelayAddress,
        outcome: TrustOutcome,
        shown: Pin,
    ) -> Result<(), TrustError> {
        let known = match outcome {
            TrustOutcome::Ca => return Ok(()),
            TrustOutcome::System => Known::SystemCa,
            TrustOutcome::Pinned | TrustOutcome::FirstUse(_) | TrustOutcome::Known => Known::Key(shown),
        };
        let mut store = read_store(&self.trust.store)?;
        if store.insert(relay.to_string(), known) == Some(known) {
            return Ok(());
        }
        let write = |error| TrustError::WriteStore(self.trust.store.clone(), error);
        let text = serde_json::to_vec_pretty(&store).map_err(|error| write(error.into()))?;
        file::write_private(&self.trust.store, &text).map_err(write)
    }

    pub(crate) fn store(&self) -> &Path {
        &self.trust.store
    }

    pub(crate) fn ca_path(&self) -> Option<&Path> {
        self.trust.ca_cert.as_deref()
    }
}

fn read_store(path: &Path) -> Result<BTreeMap<String, Known>, TrustError> {
    match file::read(path).map_err(|error| TrustError::ReadStore(path.into(), error))? {
        None => Ok(BTreeMap::new()),
        Some(bytes) => {
            serde_json::from_slice(&bytes).map_err(|error| TrustError::DamagedStore(path.into(), error))
        }
    }
}

type Ca = (Vec<Pin>, Option<Arc<WebPkiServerVerifier>>);

fn read_ca(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Ca, TrustError> {
    let bytes = std::fs::read(path).map_err(|error| TrustError::ReadCa(path.into(), error))?;
    let certificates = certificates(&bytes).ok_or_else(|| TrustError::NoCertificate(path.into()))?;
    let keys: Vec<Pin> = certificates
        .iter()
        .filter_map(|certificate| pin_of_certificate(certificate))
        .collect();
    if keys.is_empty() {
        return Err(TrustError::NoCertificate(path.into()));
    }
    Ok((keys, chain_verifier(certificates, provider)))
}

/// The certificates in a file of either format; `None` if its PEM is broken.
pub(crate) fn certificates(bytes: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    if bytes.windows(11).any(|window| window == b"-----BEGIN ") {
        CertificateDer::pem_slice_iter(bytes)
            .collect::<Result<_, _>>()
            .ok()
    } else {
        Some(vec![CertificateDer::from(bytes.to_vec())])
    }
}

/// `None` if no certificate can anchor a chain.
fn chain_verifier(
    certificates: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Option<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .ok()
}
