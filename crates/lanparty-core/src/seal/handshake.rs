//! Two members, or a newcomer and the host, prove who they are to each other and agree on keys: `Noise_IK_25519_ChaChaPoly_SHA256`
//! (Noise Protocol Framework, revision 34, section 7.5), by `snow`.
//!
//! Two messages, past a relay that sees neither payload. The initiator must know the responder's identity beforehand; the responder knows
//! from the prologue whom it must be talking to, and nothing of a handshake opens for anybody else. Everything that both must agree on is in
//! the prologue ([`Context`]), so a message that was made for another room, member, life or purpose is noise. All randomness comes
//! from the caller's seed.

use hkdf::Hkdf;
use lanparty_wire::{Incarnation, MemberId, PeerId, SealedRoom, seal::Purpose};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng},
};
use sha2::Sha256;
use snow::{
    Builder, Error, HandshakeState,
    params::{CipherChoice, DHChoice, HashChoice, NoiseParams},
    resolvers::{CryptoResolver, DefaultResolver},
    types::{Cipher, Dh, Hash, Random},
};
use zeroize::Zeroizing;

use super::{
    aead::KEY_LEN,
    identity::{IdentityKey, exchange_public},
};
use crate::hole::{Hole, is_open};

const NAME: &str = "Noise_IK_25519_ChaChaPoly_SHA256";
const LABEL: &[u8] = b"lanparty/1 sealed\0";
const DATAGRAMS: &[u8] = b"lanparty/1 datagrams";
const LETTERS: &[u8] = b"lanparty/1 letters";
/// What the first and the second message have besides their payloads: keys and tags.
const OVERHEAD: usize = 32 + 48 + 16;

/// One side of a handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Party {
    pub identity: PeerId,
    pub member: MemberId,
    pub incarnation: Incarnation,
}

/// What both sides must agree on for a handshake to succeed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Context {
    pub purpose: Purpose,
    pub room: SealedRoom,
    pub initiator: Party,
    pub responder: Party,
}

impl Context {
    /// The bytes that both sides hash.
    pub fn prologue(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LABEL.len() + 1 + SealedRoom::LEN + 2 * 38);
        out.extend_from_slice(LABEL);
        out.push(self.purpose as u8);
        out.extend_from_slice(self.room.bytes());
        for party in [&self.initiator, &self.responder] {
            out.extend_from_slice(&party.identity.0);
            out.extend_from_slice(&party.member.value().to_be_bytes());
            out.extend_from_slice(&party.incarnation.0.to_be_bytes());
        }
        out
    }
}

/// Why a handshake goes no further. Which check it was helps nobody but an attacker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HandshakeError {
    /// Not made by that peer for this context, or changed on its way.
    #[error("the handshake does not prove its sender")]
    Unproven,
    /// The identity is no key that a secret can be shared with.
    #[error("the peer's identity is no sound public key")]
    Identity,
}

/// A handshake in which one message is still missing.
pub struct Handshake {
    state: HandshakeState,
}

impl Handshake {
    /// Begins one with the context's responder. Returns the first message too. Its payload is encrypted to the responder, but is not
    /// protected from being sent to it again.
    ///
    /// # Errors
    /// [`HandshakeError::Identity`].
    pub fn initiate(
        context: &Context,
        own: &IdentityKey,
        payload: &[u8],
        seed: &[u8; 32],
    ) -> Result<(Handshake, Vec<u8>), HandshakeError> {
        let theirs = exchange_public(&context.responder.identity).ok_or(HandshakeError::Identity)?;
        let key = own.exchange_key();
        let state = builder(seed)
            .prologue(&context.prologue())
            .and_then(|builder| builder.local_private_key(&*key))
            .and_then(|builder| builder.remote_public_key(&theirs))
            .and_then(Builder::build_initiator);
        let mut handshake = Handshake {
            state: state.map_err(|_| HandshakeError::Unproven)?,
        };
        let message = handshake.write(payload)?;
        Ok((handshake, message))
    }

    /// Reads a first message, which must be from the context's initiator. Returns its payload too. Nothing is agreed
    /// until [`Handshake::answer`]; between the two, the caller may take its time to decide.
    ///
    /// # Errors
    /// [`HandshakeError::Unproven`] for whatever that peer has not made for exactly this context.
    pub fn respond(
        context: &Context,
        own: &IdentityKey,
        message: &[u8],
        seed: &[u8; 32],
    ) -> Result<(Handshake, Vec<u8>), HandshakeError> {
        let theirs = exchange_public(&context.initiator.identity).ok_or(HandshakeError::Identity)?;
        let key = own.exchange_key();
        let state = builder(seed)
            .prologue(&context.prologue())
            .and_then(|builder| builder.local_private_key(&*key))
            .and_then(Builder::build_responder);
        let mut handshake = Handshake {
            state: state.map_err(|_| HandshakeError::Unproven)?,
        };
        let payload = handshake.read(message)?;
        let is_theirs = handshake.state.get_remote_static() == Some(&theirs[..]);
        if !is_theirs && !is_open(Hole::StaticKey) {
            return Err(HandshakeError::Unproven);
        }
        Ok((handshake, payload))
    }

    /// The responder's end of it: the second message, and the keys.
    ///
    /// # Errors
    /// [`HandshakeError::Unproven`] if this side has begun it.
    pub fn answer(mut self, payload: &[u8]) -> Result<(Secrets, Vec<u8>), HandshakeError> {
        let message = self.write(payload)?;
        Ok((self.secrets(), message))
    }

    /// The initiator's end of it: the keys, and the answer's payload. A message that fails leaves the handshake as it was, so that a
    /// forged one does not spoil it.
    ///
    /// # Errors
    /// [`HandshakeError::Unproven`] for whatever the context's responder has not made in answer to this handshake.
    pub fn finish(&mut self, message: &[u8]) -> Result<(Secrets, Vec<u8>), HandshakeError> {
        let payload = self.read(message)?;
        Ok((self.secrets(), payload))
    }

    fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        let mut message = vec![0; payload.len() + OVERHEAD];
        let length = self.state.write_message(payload, &mut message);
        message.truncate(length.map_err(|_| HandshakeError::Unproven)?);
        Ok(message)
    }

    fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        let mut payload = vec![0; message.len()];
        let length = self.state.read_message(message, &mut payload);
        payload.truncate(length.map_err(|_| HandshakeError::Unproven)?);
        Ok(payload)
    }

    fn secrets(&mut self) -> Secrets {
        let (to_responder, to_initiator) = self.state.dangerously_get_raw_split();
        let mut transcript = [0; 32];
        transcript.copy_from_slice(self.state.get_handshake_hash());
        Secrets {
            transcript,
            to_responder: Zeroizing::new(to_responder),
            to_initiator: Zeroizing::new(to_initiator),
        }
    }
}

impl std::fmt::Debug for Handshake {
    /// Without its secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handshake")
    }
}

/// What a finished handshake has agreed on: a key for each direction, from which the working keys are derived, and a hash of all that
/// was said.
pub struct Secrets {
    /// The same on both sides only if both have seen the same handshake. Not secret.
    pub transcript: [u8; 32],
    to_responder: Zeroizing<[u8; 32]>,
    to_initiator: Zeroizing<[u8; 32]>,
}

/// The working keys of one direction.
pub struct DirectionKeys {
    pub datagrams: Zeroizing<[u8; KEY_LEN]>,
    pub letters: Zeroizing<[u8; KEY_LEN]>,
}

impl Secrets {
    /// What somebody can take for secrets who has agreed on nothing.
    #[cfg(test)]
    pub(crate) fn guessed() -> Secrets {
        Secrets {
            transcript: [0; 32],
            to_responder: Zeroizing::new([0; 32]),
            to_initiator: Zeroizing::new([0; 32]),
        }
    }

    /// The keys for what the initiator sends.
    pub fn to_responder(&self) -> DirectionKeys {
        self.expand(&self.to_responder)
    }

    /// The keys for what the responder sends.
    pub fn to_initiator(&self) -> DirectionKeys {
        self.expand(&self.to_initiator)
    }

    /// HKDF-SHA256 (RFC 5869) with the transcript's hash as salt.
    fn expand(&self, secret: &[u8; 32]) -> DirectionKeys {
        let hkdf = if is_open(Hole::Agreement) {
            Hkdf::<Sha256>::new(Some(&[0; 32]), &[0; 32])
        } else {
            Hkdf::<Sha256>::new(Some(&self.transcript), secret)
        };
        let derive = |label| {
            let mut key = Zeroizing::new([0; KEY_LEN]);
            hkdf.expand(label, &mut *key)
                .expect("a key is far below 255 blocks of hash");
            key
        };
        DirectionKeys {
            datagrams: derive(DATAGRAMS),
            letters: derive(LETTERS),
        }
    }
}

impl std::fmt::Debug for Secrets {
    /// Without them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

fn builder(seed: &[u8; 32]) -> Builder<'static> {
    let params: NoiseParams = NAME.parse().expect("the name is that of a Noise protocol");
    Builder::with_resolver(
        params,
        Box::new(Primitives {
            seed: Zeroizing::new(*seed),
        }),
    )
}

/// The library's primitives, with the caller's randomness, and a Diffie-Hellman that refuses keys of low order.
struct Primitives {
    seed: Zeroizing<[u8; 32]>,
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Seeded(ChaCha20Rng::from_seed(*self.seed))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        Some(Box::new(Contributory(DefaultResolver.resolve_dh(choice)?)))
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

struct Seeded(ChaCha20Rng);

impl Random for Seeded {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.0.fill_bytes(dest);
        Ok(())
    }
}

/// X25519 whose result must not be zero (RFC 7748, section 6.1): a public key of low order would let one side choose the secret.
struct Contributory(Box<dyn Dh>);

impl Dh for Contributory {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn pub_len(&self) -> usize {
        self.0.pub_len()
    }

    fn priv_len(&self) -> usize {
        self.0.priv_len()
    }

    fn set(&mut self, privkey: &[u8]) {
        self.0.set(privkey);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        self.0.generate(rng)
    }

    fn pubkey(&self) -> &[u8] {
        self.0.pubkey()
    }

    fn privkey(&self) -> &[u8] {
        self.0.privkey()
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        self.0.dh(pubkey, out)?;
        let length = self.0.dh_len();
        if out[..length].iter().fold(0, |sum, byte| sum | byte) == 0 {
            return Err(Error::Dh);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> IdentityKey {
        IdentityKey::from_seed(&[number; 32])
    }

    fn party(number: u8) -> Party {
        Party {
            identity: key(number).peer_id(),
            member: MemberId::new(number.into()).unwrap(),
            incarnation: Incarnation(1),
        }
    }

    fn context() -> Context {
        Context {
            purpose: Purpose::Member,
            room: SealedRoom::from_bytes([9; 25]),
            initiator: party(1),
            responder: party(2),
        }
    }

    fn first() -> (Handshake, Vec<u8>) {
        Handshake::initiate(&context(), &key(1), b"let me in", &[11; 32]).unwrap()
    }

    #[test]
    fn both_sides_agree_and_payloads_go_both_ways() {
        let (mut ours, message) = first();
        let (theirs, request) = Handshake::respond(&context(), &key(2), &message, &[12; 32]).unwrap();
        assert_eq!(request, b"let me in");
        let (responder, message) = theirs.answer(b"welcome").unwrap();
        let (initiator, answer) = ours.finish(&message).unwrap();
        assert_eq!(answer, b"welcome");
        assert_eq!(initiator.transcript, responder.transcript);
        assert_eq!(
            *initiator.to_responder().datagrams,
            *responder.to_responder().datagrams
        );
        assert_eq!(
            *initiator.to_initiator().letters,
            *responder.to_initiator().letters
        );
        let keys = [initiator.to_responder(), initiator.to_initiator()];
        let all: std::collections::BTreeSet<[u8; 32]> = keys
            .iter()
            .flat_map(|keys| [*keys.datagrams, *keys.letters])
            .collect();
        assert_eq!(all.len(), 4, "no key has two uses");
    }

    #[test]
    fn a_message_is_noise_in_any_other_context() {
        let (_, message) = first();
        let changes: [fn(&mut Context); 8] = [
            |context| context.purpose = Purpose::Admission,
            |context| context.room = SealedRoom::from_bytes([8; 25]),
            |context| context.initiator.identity = party(3).identity,
            |context| context.initiator.member = party(3).member,
            |context| context.initiator.incarnation.0 += 1,
            |context| context.responder.member = party(3).member,
            |context| context.responder.incarnation.0 += 1,
            |context| std::mem::swap(&mut context.initiator, &mut context.responder),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut other = context();
            change(&mut other);
            let result = Handshake::respond(&other, &key(2), &message, &[12; 32]);
            assert_eq!(result.err(), Some(HandshakeError::Unproven), "change {number}");
        }
        let other_host = Handshake::respond(&context(), &key(3), &message, &[12; 32]);
        assert_eq!(other_host.err(), Some(HandshakeError::Unproven));
    }

    #[test]
    fn knowing_a_public_key_is_not_enough() {
        let (_, message) = Handshake::initiate(&context(), &key(3), b"", &[11; 32]).unwrap();
        let result = Handshake::respond(&context(), &key(2), &message, &[12; 32]);
        assert_eq!(result.err(), Some(HandshakeError::Unproven));
    }

    #[test]
    fn no_bit_of_either_message_can_change() {
        let (mut ours, message) = first();
        for bit in 0..message.len() * 8 {
            let mut changed = message.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                Handshake::respond(&context(), &key(2), &changed, &[12; 32]).is_err(),
                "bit {bit}"
            );
        }
        let (theirs, _) = Handshake::respond(&context(), &key(2), &message, &[12; 32]).unwrap();
        let (_, answer) = theirs.answer(b"").unwrap();
        for bit in 0..answer.len() * 8 {
            let mut changed = answer.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(ours.finish(&changed).is_err(), "bit {bit}");
        }
        assert!(ours.finish(&answer).is_ok(), "forged answers spoil nothing");
    }

    #[test]
    fn an_ephemeral_key_of_low_order_is_refused() {
        let (_, mut message) = first();
        message[..32].fill(0);
        assert!(Handshake::respond(&context(), &key(2), &message, &[12; 32]).is_err());
    }
}
