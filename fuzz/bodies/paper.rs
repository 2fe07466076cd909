//! Bytes as what is signed or asked about admission: a membership, a roster, a request, an answer.

use lanparty_wire::{AdmissionAnswer, AdmissionRequest, HostKey, Membership, Roster};

pub fn run(data: &[u8]) {
    let key = HostKey::from_seed(&[1; 32]);
    let room = key.room();
    if let Ok(roster) = Roster::verify(&room, data) {
        let again = Roster::sign(&key, roster.content().clone()).expect("what was signed can be");
        assert_eq!(again.bytes(), roster.bytes(), "a roster has one form");
    }
    if let Ok(membership) = Membership::verify(&room, data) {
        let again = Membership::sign(&key, membership.issued(), membership.member());
        assert_eq!(again.bytes(), membership.bytes(), "a membership has one form");
    }
    if let Ok(request) = AdmissionRequest::decode(data) {
        let again = AdmissionRequest::decode(&request.encode()).expect("what is written can be read");
        assert_eq!(again.encode(), request.encode());
    }
    if let Ok(answer) = AdmissionAnswer::decode(&room, data) {
        assert_eq!(AdmissionAnswer::decode(&room, &answer.encode()), Ok(answer));
    }
}
