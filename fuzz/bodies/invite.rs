//! Bytes as an invite or a short code: what parses prints, and parses to the same again.

use lanparty_wire::{Invite, InvitePage, RoomCode, ShortCode};

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match text.parse::<Invite>() {
        Ok(invite) => {
            assert_eq!(invite.to_string().parse(), Ok(invite.clone()));
            // A text can be an invite whose relay is where the page lies.
            let page: InvitePage = "https://page.invalid/".parse().expect("a valid page");
            if let Ok(page) = invite.on_page(&page) {
                assert_eq!(page.parse(), Ok(invite));
            }
        }
        Err(error) => assert!(!error.to_string().contains('\n')),
    }
    match text.parse::<ShortCode>() {
        Ok(code) => {
            assert_eq!(code.to_string().parse(), Ok(code));
            assert!(code.to_string().parse::<RoomCode>().is_err());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
