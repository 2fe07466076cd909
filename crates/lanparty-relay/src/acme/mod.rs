//! A certificate from a public CA for the relay's own key, and another one before it ends (ACME, RFC 8555).
//!
//! Members who trust the system's CAs need no pin then; those who have one need not notice, because the key stays. Whatever goes wrong here
//! is told and tried again later: the relay serves on with the certificate that it has.

mod challenge;
mod trouble;

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use lanparty_os::dirs::write_private;
use lanparty_quic::RelayCertificate;
use tokio::time::sleep;

use self::{challenge::Answer, trouble::Trouble};
use crate::{memory::unix_now, relay::Relay};

/// How long one order may take; a CA asks from several places, one after the other.
const ORDER: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(120));
/// A clock can be set, and a machine can sleep: when the next certificate is due is looked at this often.
const LOOK: Duration = Duration::from_secs(3600);
/// After a failure, and twice as long after each further one. Let's Encrypt bears five failures in an hour.
const FIRST_PAUSE: Duration = Duration::from_secs(15 * 60);
const LONGEST_PAUSE: Duration = Duration::from_secs(12 * 3600);

/// What the operator has asked for.
#[derive(Clone, Debug)]
pub struct Plan {
    pub domain: String,
    /// A URI such as `mailto:admin@example.org`.
    pub contact: Option<String>,
    /// Where the CA says what it offers.
    pub directory: String,
    /// Where the CA finds us, by way of the domain's port 80.
    pub listen: SocketAddr,
}

/// A relay's part in ACME.
#[derive(Debug)]
pub struct Acme {
    plan: Plan,
    state_dir: PathBuf,
    listener: TcpListener,
    /// With the key that is to be certified.
    own: RelayCertificate,
    /// When the certificate that is shown should be replaced, in seconds since 1970.
    due: u64,
}

impl Acme {
    /// Binds the port on which the CA will ask, and looks for the certificate of the last time, which is returned too.
    ///
    /// # Errors
    /// What the system says about the port.
    pub fn prepare(
        plan: Plan,
        own: RelayCertificate,
        state_dir: PathBuf,
    ) -> io::Result<(Acme, Option<RelayCertificate>)> {
        let listener = TcpListener::bind(plan.listen)?;
        listener.set_nonblocking(true)?;
        let mut acme = Acme {
            plan,
            state_dir,
            listener,
            own,
            due: 0,
        };
        let kept = acme.kept();
        acme.due = kept.as_ref().map_or(0, renewal);
        Ok((acme, kept))
    }

    /// The certificate of the last time, unless it has ended.
    fn kept(&self) -> Option<RelayCertificate> {
        let file = self.chain_file();
        let kept = self.own.with_chain(&fs::read(&file).ok()?, &file);
        kept.inspect_err(|error| tracing::warn!(%error, "the kept certificate is not used"))
            .ok()
            .filter(|kept| unix_now().0 < kept.validity().1)
    }

    fn chain_file(&self) -> PathBuf {
        self.state_dir.join(format!("acme-{}.pem", self.plan.domain))
    }

    fn account_file(&self) -> PathBuf {
        self.state_dir.join("acme-account.json")
    }

    async fn renew(&self, answer: &Answer) -> Result<RelayCertificate, Trouble> {
        let request = self.own.request(&self.plan.domain)?;
        let account = self.account().await?;
        let names = [Identifier::Dns(self.plan.domain.clone())];
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        let pem = self.fulfil(&mut order, &request, answer).await;
        answer.set(None);
        let pem = pem?;
        let certificate = self.own.with_chain(pem.as_bytes(), &self.chain_file())?;
        write_private(&self.chain_file(), pem.as_bytes())?;
        Ok(certificate)
    }

    /// The account of the last time at this CA, or a new one.
    async fn account(&self) -> Result<Account, Trouble> {
        if let Ok(bytes) = fs::read(self.account_file())
            && let Ok((directory, credentials)) =
                serde_json::from_slice::<(String, AccountCredentials)>(&bytes)
            && directory == self.plan.directory
        {
            return Ok(Account::builder()?.from_credentials(credentials).await?);
        }
        let contact: Vec<&str> = self.plan.contact.as_deref().into_iter().collect();
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let directory = self.plan.directory.clone();
        let created = Account::builder()?
            .create(&wanted, directory.clone(), None)
            .await?;
        let (account, credentials) = created;
        let bytes = serde_json::to_vec(&(directory, credentials)).map_err(instant_acme::Error::from)?;
        write_private(&self.account_file(), &bytes)?;
        Ok(account)
    }

    /// Proves that the domain is ours, and takes the certificate.
    async fn fulfil(&self, order: &mut Order, request: &[u8], answer: &Answer) -> Result<String, Trouble> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let challenge = authorization.challenge(ChallengeType::Http01);
            let mut challenge = challenge.ok_or(Trouble::NoChallenge)?;
            let text = challenge.key_authorization().as_str().to_owned();
            answer.set(Some((challenge.token.clone(), text)));
            challenge.set_ready().await?;
        }
        if order.poll_ready(&ORDER).await? != OrderStatus::Ready {
            return Err(refusal(order).await);
        }
        order.finalize_csr(request).await?;
        Ok(order.poll_certificate(&ORDER).await?)
    }
}

/// Why the CA was not convinced.
async fn refusal(order: &mut Order) -> Trouble {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let problem = state
            .challenges
            .iter()
            .find_map(|challenge| challenge.error.clone());
        if let Some(problem) = problem {
            return instant_acme::Error::from(problem).into();
        }
    }
    Trouble::NoReason
}

/// After two thirds of its time a certificate is replaced.
fn renewal(certificate: &RelayCertificate) -> u64 {
    let (from, until) = certificate.validity();
    until - until.saturating_sub(from) / 3
}

/// Keeps a certificate of the CA's on show, for ever.
pub async fn run(relay: Arc<Relay>, mut acme: Acme) {
    let answer = Answer::default();
    match acme
        .listener
        .try_clone()
        .and_then(tokio::net::TcpListener::from_std)
    {
        Ok(listener) => drop(tokio::spawn(challenge::serve(listener, answer.clone()))),
        Err(error) => {
            return tracing::error!(%error, "the CA cannot be answered; there will be no certificate");
        }
    }
    let mut pause = FIRST_PAUSE;
    loop {
        let wait = Duration::from_secs(acme.due.saturating_sub(unix_now().0));
        if !wait.is_zero() {
            sleep(wait.min(LOOK)).await;
            continue;
        }
        let renewed = acme.renew(&answer).await.and_then(|certificate| {
            relay.listener.show(&certificate)?;
            Ok(certificate)
        });
        let domain = &acme.plan.domain;
        match renewed {
            Ok(certificate) => {
                tracing::info!(
                    domain,
                    until = certificate.validity().1,
                    "a new certificate from the CA"
                );
                *relay.problem.lock() = None;
                (acme.due, pause) = (renewal(&certificate), FIRST_PAUSE);
            }
            Err(trouble) => {
                let sentence = trouble.sentence(&acme.plan);
                pause = pause.max(trouble.least_pause());
                tracing::error!(domain, again_in_s = pause.as_secs(), "{sentence}");
                *relay.problem.lock() = Some(sentence);
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
