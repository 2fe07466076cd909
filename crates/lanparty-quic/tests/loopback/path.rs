//! What goes over a path, and how it ends.

use std::{net::UdpSocket, time::Duration};

use bytes::Bytes;
use lanparty_quic::PathClosed;
use lanparty_wire::{
    LeaveReason,
    control::{Message, Stats},
};

use crate::common::{Home, Relay, drive, welcome_for};

#[tokio::test]
async fn datagrams_and_control_messages_go_both_ways() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let (path, welcome) = home.dial(home.trust()).await.unwrap();
    assert_eq!(welcome, welcome_for(7));
    let mut player = drive(path);
    let mut member = relay.joined().await;

    assert!(player.link.budget() >= 1162, "{}", player.link.budget());
    player.wire.send(Bytes::from_static(b"out")).await;
    assert_eq!(member.wire.receive().await, "out");
    member.wire.send(Bytes::from_static(b"in")).await;
    assert_eq!(player.wire.receive().await, "in");

    let message = Message::Stats(Stats::default());
    player.sender.send(&message).await.unwrap();
    assert_eq!(member.receiver.recv().await.unwrap(), Some(message.clone()));
    member.sender.send(&message).await.unwrap();
    assert_eq!(player.receiver.recv().await.unwrap(), Some(message));
}

#[tokio::test]
async fn what_exceeds_the_budget_is_counted_and_stops_nothing() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let player = drive(home.dial(home.trust()).await.unwrap().0);
    let member = relay.joined().await;
    player.wire.send(Bytes::from(vec![0; 1500])).await;
    player.wire.send(Bytes::from_static(b"fits")).await;
    assert_eq!(member.wire.receive().await, "fits");
    let oversized = wait_for(|| player.link.stats().oversized_datagrams > 0).await;
    assert!(oversized, "{:?}", player.link.stats());
}

#[tokio::test]
async fn what_comes_right_after_the_welcome_is_not_lost() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let (joined, member) = tokio::join!(home.dial(home.trust()), async {
        let member = relay.joined().await;
        member.wire.send(Bytes::from_static(b"early")).await;
        member
    });
    // The player's side is not driven meanwhile, as that of a node that is busy.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let player = drive(joined.unwrap().0);
    assert_eq!(player.wire.receive().await, "early");
    drop(member);
}

#[tokio::test]
async fn the_budget_grows_and_says_so() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let player = drive(home.dial(home.trust()).await.unwrap().0);
    let mut changes = player.link.budget_changes();
    let largest = tokio::time::timeout(Duration::from_secs(5), changes.wait_for(|&b| b >= 1380)).await;
    assert!(largest.is_ok(), "{}", player.link.budget());
}

#[tokio::test]
async fn a_control_message_passes_a_saturated_path() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let mut player = drive(home.dial(home.trust()).await.unwrap().0);
    let mut member = relay.joined().await;
    let drained = tokio::spawn({
        let wire = member.wire.clone();
        async move {
            let mut bytes = 0;
            let limit = tokio::time::Instant::now() + Duration::from_millis(300);
            while let Ok(datagram) = tokio::time::timeout_at(limit, wire.next()).await {
                bytes += datagram.len();
            }
            bytes
        }
    });
    let flood = tokio::spawn({
        let (link, wire) = (player.link.clone(), player.wire.clone());
        async move {
            // Exactly as large as the budget: such a datagram leaves no room in its packet for the stream.
            loop {
                wire.send(Bytes::from(vec![0; usize::from(link.budget())])).await;
            }
        }
    });
    let message = Message::Stats(Stats::default());
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let sent = tokio::time::Instant::now();
        player.sender.send(&message).await.unwrap();
        let arrived = tokio::time::timeout(Duration::from_secs(1), member.receiver.recv()).await;
        assert_eq!(arrived.unwrap().unwrap(), Some(message.clone()));
        assert!(
            sent.elapsed() < Duration::from_millis(200),
            "{:?}",
            sent.elapsed()
        );
    }
    assert!(drained.await.unwrap() > 1_000_000);
    flood.abort();
}

/// Whoever makes others send messages must not stop their games with that.
#[tokio::test]
async fn a_flood_of_control_messages_stops_no_datagrams() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let mut player = drive(home.dial(home.trust()).await.unwrap().0);
    let mut member = relay.joined().await;
    tokio::spawn(async move { while let Ok(Some(_)) = member.receiver.recv().await {} });
    let flood = tokio::spawn(async move {
        let messages = Message::Stats(Stats::default()).encode().unwrap().repeat(500);
        while player.sender.send_encoded(&messages).await.is_ok() {}
    });
    for _ in 0..50 {
        let sent = tokio::time::Instant::now();
        player.wire.send(Bytes::from_static(b"move")).await;
        assert_eq!(member.wire.receive().await, "move");
        assert!(
            sent.elapsed() < Duration::from_millis(200),
            "{:?}",
            sent.elapsed()
        );
    }
    assert!(!flood.is_finished());
    flood.abort();
}

#[tokio::test]
async fn a_moved_socket_keeps_the_connection() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let player = drive(home.dial(home.trust()).await.unwrap().0);
    let member = relay.joined().await;
    let before = member.link.remote_address();
    player
        .link
        .rebind(UdpSocket::bind("127.0.0.1:0").unwrap())
        .unwrap();
    player.wire.send(Bytes::from_static(b"moved")).await;
    assert_eq!(member.wire.receive().await, "moved");
    assert!(wait_for(|| member.link.remote_address() != before).await);
    assert_eq!(player.link.local_address(), member.link.remote_address());
    member.wire.send(Bytes::from_static(b"found you")).await;
    assert_eq!(player.wire.receive().await, "found you");
}

#[tokio::test]
async fn the_reason_of_a_close_is_read() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let player = drive(home.dial(home.trust()).await.unwrap().0);
    let member = relay.joined().await;
    player.link.shutdown(LeaveReason::Goodbye).await;
    assert_eq!(member.link.closed().await, PathClosed::Peer(LeaveReason::Goodbye));

    let player = drive(home.dial(home.trust()).await.unwrap().0);
    let _member = relay.joined().await;
    relay
        .listener
        .close(LeaveReason::RelayShutdown, Duration::from_secs(1))
        .await;
    assert_eq!(
        player.link.closed().await,
        PathClosed::Peer(LeaveReason::RelayShutdown)
    );
    assert!(relay.listener.knock().await.is_none());
}

#[tokio::test]
async fn an_engine_that_ends_ends_its_connections() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let (engine, link, _sender, mut receiver) = home.dial(home.trust()).await.unwrap().0.split();
    drop(engine);
    assert_eq!(link.closed().await, PathClosed::Local);
    assert!(receiver.recv().await.is_err());
}

#[tokio::test]
async fn keep_alives_are_signs_of_life() {
    let relay = Relay::start();
    let home = Home::new(&relay);
    let player = drive(home.dial(home.trust()).await.unwrap().0);
    let _member = relay.joined().await;
    tokio::time::sleep(Duration::from_millis(2600)).await;
    let silent = player.link.last_received().elapsed();
    assert!(silent < Duration::from_millis(1500), "{silent:?}");
}

async fn wait_for(mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..500 {
        if condition() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}
