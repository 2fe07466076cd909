//! Queues in virtual time: a link of some rate behind the scheduler, and senders that heed what it tells them, or not.

use super::*;

/// As the sender of a packet sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum News {
    Arrived,
    Marked,
    Lost,
}

/// A packet of a sender.
#[derive(Clone, Copy, Debug)]
struct Packet {
    sender: usize,
    bytes: usize,
    marked: bool,
}

/// Somebody who fills a window, which grows by one packet a round trip and falls by a third when it is told to (as Cubic's does).
struct Greedy {
    window: f64,
    in_flight: usize,
    heeds_marks: bool,
    round_trip: Duration,
    recovers_until: Instant,
    delivered: usize,
}

impl Greedy {
    fn new(round_trip: u64, heeds_marks: bool) -> Greedy {
        Greedy {
            window: 10.0,
            in_flight: 0,
            heeds_marks,
            round_trip: Duration::from_millis(round_trip),
            recovers_until: start(),
            delivered: 0,
        }
    }

    fn hear(&mut self, now: Instant, news: News) {
        self.in_flight -= 1;
        self.delivered += usize::from(news != News::Lost);
        match news {
            News::Arrived => self.window += 1.0 / self.window,
            News::Marked | News::Lost if now >= self.recovers_until => {
                self.window = (self.window * 0.7).max(2.0);
                self.recovers_until = now + self.round_trip;
            }
            News::Marked | News::Lost => {}
        }
    }
}

/// A scheduler and a link behind it.
struct Bench {
    scheduler: Scheduler<Packet>,
    now: Instant,
    rate: usize,
    greedy: Vec<Greedy>,
    /// What each sender hears, and when.
    news: VecDeque<(Instant, usize, News)>,
    /// How long bulk has waited, packet by packet, and when it left.
    waits: Vec<(Duration, Duration)>,
    /// How long the player's packets have waited.
    player: Vec<Duration>,
    late: usize,
}

impl Bench {
    fn new(bytes_per_second: usize, greedy: Vec<Greedy>) -> Bench {
        Bench {
            scheduler: Scheduler::new(Bounds::default()),
            now: start(),
            rate: bytes_per_second,
            greedy,
            news: VecDeque::new(),
            waits: Vec::new(),
            player: Vec::new(),
            late: 0,
        }
    }

    /// Lets the link send until `until`; before each packet, `each` may queue some.
    fn run(&mut self, until: Duration, mut each: impl FnMut(&mut Scheduler<Packet>, Instant)) {
        while self.now < start() + until {
            self.listen();
            self.fill();
            each(&mut self.scheduler, self.now);
            self.send();
        }
    }

    fn listen(&mut self) {
        while let Some(&(at, sender, news)) = self.news.front()
            && at <= self.now
        {
            self.news.pop_front();
            self.greedy[sender].hear(self.now, news);
        }
    }

    fn fill(&mut self) {
        let (news, now) = (&mut self.news, self.now);
        let (greedy, scheduler) = (&mut self.greedy, &mut self.scheduler);
        for sender in 0..greedy.len() {
            while greedy[sender].in_flight < greedy[sender].window as usize {
                greedy[sender].in_flight += 1;
                let packet = Packet {
                    sender,
                    bytes: 1514,
                    marked: false,
                };
                scheduler.push(now, Class::Bulk, flow(sender as u16), 1514, packet, |victim| {
                    if let Some(sender) = greedy.get(victim.sender) {
                        news.push_back((now + sender.round_trip, victim.sender, News::Lost));
                    }
                });
            }
        }
    }

    fn send(&mut self) {
        let (greedy, news, now) = (&self.greedy, &mut self.news, self.now);
        let late = &mut self.late;
        let heeds = |packet: &Packet| greedy.get(packet.sender).is_some_and(|sender| sender.heeds_marks);
        let mark = |packet: &mut Packet| {
            packet.marked = heeds(packet);
            packet.marked
        };
        let popped = self.scheduler.pop(now, mark, |victim| {
            *late += 1;
            if let Some(sender) = greedy.get(victim.sender) {
                news.push_back((now + sender.round_trip, victim.sender, News::Lost));
            }
        });
        let Some(Popped { item, class, queued }) = popped else {
            self.now += Duration::from_micros(100);
            return;
        };
        if item.sender == PLAYER {
            self.player.push(self.now - queued);
        }
        if class == Class::Bulk {
            self.waits.push((now - start(), now - queued));
        }
        self.now += Duration::from_secs_f64(item.bytes as f64 / self.rate as f64);
        if let Some(sender) = greedy.get(item.sender) {
            let news_of = if item.marked { News::Marked } else { News::Arrived };
            let at = self.now + sender.round_trip;
            let place = self.news.partition_point(|(when, ..)| *when <= at);
            self.news.insert(place, (at, item.sender, news_of));
        }
    }

    /// What a share of all waits since `from` did not exceed.
    fn wait(&self, from: Duration, share: f64) -> Duration {
        let mut waits: Vec<Duration> = self
            .waits
            .iter()
            .filter(|(at, _)| *at >= from)
            .map(|(_, wait)| *wait)
            .collect();
        waits.sort();
        waits[(waits.len() as f64 * share) as usize]
    }

    fn used(&self, time: Duration) -> f64 {
        let delivered: usize = self.greedy.iter().map(|sender| sender.delivered).sum();
        (delivered * 1514) as f64 / (self.rate as f64 * time.as_secs_f64())
    }
}

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MBIT: usize = 125_000;
/// Neither of these hears anything.
const PLAYER: usize = 77;
const FLOODER: usize = 99;

#[test]
fn a_greedy_sender_keeps_no_standing_queue() {
    for heeds_marks in [false, true] {
        let mut bench = Bench::new(20 * MBIT, vec![Greedy::new(30, heeds_marks)]);
        bench.run(30 * SECOND, |_, _| {});
        let half = bench.wait(5 * SECOND, 0.5);
        assert!(half < 6 * MS, "marks {heeds_marks}: half of them waited {half:?}");
        let most = bench.wait(5 * SECOND, 0.99);
        assert!(most < 30 * MS, "marks {heeds_marks}: {most:?}");
        let used = bench.used(30 * SECOND);
        assert!(used > 0.85, "marks {heeds_marks}: {used} of the link");
        assert_eq!(bench.late == 0, heeds_marks, "{} were dropped", bench.late);
    }
}

#[test]
fn on_a_slow_leg_a_frames_own_time_is_no_standing_queue() {
    let mut bench = Bench::new(MBIT, vec![Greedy::new(30, false)]);
    bench.run(60 * SECOND, |_, _| {});
    let used = bench.used(60 * SECOND);
    assert!(used > 0.9, "{used} of the link");
    let half = bench.wait(5 * SECOND, 0.5);
    assert!(half < 50 * MS, "{half:?} where a frame takes 12 ms");
}

#[test]
fn greedy_senders_share_alike_whatever_their_round_trips() {
    let senders = [10, 20, 40, 80].map(|round_trip| Greedy::new(round_trip, false));
    let mut bench = Bench::new(20 * MBIT, senders.into());
    bench.run(60 * SECOND, |_, _| {});
    let delivered: Vec<f64> = bench
        .greedy
        .iter()
        .map(|sender| sender.delivered as f64)
        .collect();
    let fairness = jain(&delivered);
    assert!(fairness > 0.97, "{fairness} of {delivered:?}");
}

#[test]
fn a_player_waits_for_one_frame_beside_a_flood_and_a_copy() {
    let mut bench = Bench::new(20 * MBIT, vec![Greedy::new(30, false)]);
    let player = FlowId::of(MemberId::new(5).unwrap(), 1);
    let mut next = start();
    let mut sent = 0;
    let mut random = 1_u64;
    // The flooder is no sender that hears; its packets are urgent by its own word, in all flows that there are.
    bench.run(10 * SECOND, |scheduler, now| {
        for _ in 0..5 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let flow = FlowId::of(MemberId::new(9).unwrap(), (random >> 56) as u8);
            let packet = Packet {
                sender: FLOODER,
                bytes: 200,
                marked: false,
            };
            scheduler.push(now, Class::Interactive, flow, 200, packet, |_| {});
        }
        if now >= next {
            next += 10 * MS;
            sent += 1;
            let packet = Packet {
                sender: PLAYER,
                bytes: 120,
                marked: false,
            };
            scheduler.push(now, Class::Interactive, player, 120, packet, |victim| {
                assert_eq!(victim.sender, FLOODER)
            });
        }
    });
    assert!(sent > 900);
    assert_eq!(bench.player.len(), sent);
    let longest = bench.player.iter().max().unwrap();
    // A frame that bulk has earned, and a flooder's turn.
    assert!(*longest < 3 * MS / 2, "{longest:?} where a frame takes 0.6 ms");
    let share = bench.used(10 * SECOND);
    assert!(share > 0.05, "the copy has {share}, and its class a tenth");
}

#[test]
fn a_players_packets_leave_within_the_time_of_few_frames() {
    let mut scheduler: Scheduler<(bool, usize)> = Scheduler::new(Bounds::default());
    let mut now = start();
    let frame = Duration::from_secs_f64(1514.0 / (20 * MBIT) as f64);
    let player = FlowId::of(MemberId::new(5).unwrap(), 1);
    let mut queued = 0_usize;
    let mut longest = Duration::ZERO;
    for round in 0..50_000_usize {
        for other in 0..4 {
            let flow = FlowId::of(MemberId::new(10 + other).unwrap(), round as u8);
            let class = [Class::Bulk, Class::Interactive][round % 2];
            scheduler.push(now, class, flow, 1514, (false, 1514), |_| {});
        }
        if round % 20 == 0 {
            queued += 1;
            scheduler.push(now, Class::Interactive, player, 120, (true, 120), never);
        }
        let popped = scheduler.pop(now, |_| false, |_| {}).unwrap();
        if popped.item.0 {
            queued -= 1;
            longest = longest.max(now - popped.queued);
        }
        now += Duration::from_secs_f64(popped.item.1 as f64 / (20 * MBIT) as f64);
    }
    assert!(queued <= 1);
    // A turn of each of the four others, a frame that bulk has earned, and the one that is being sent.
    assert!(
        longest <= 6 * frame,
        "{longest:?} is {:.1} frames",
        longest.as_secs_f64() / frame.as_secs_f64()
    );
}

#[test]
fn a_sender_that_heeds_nothing_harms_itself_alone() {
    let mut bench = Bench::new(20 * MBIT, vec![Greedy::new(20, false), Greedy::new(20, true)]);
    bench.run(20 * SECOND, |scheduler, now| {
        // Three times what the link takes.
        for _ in 0..2 {
            let packet = Packet {
                sender: FLOODER,
                bytes: 1514,
                marked: false,
            };
            scheduler.push(now, Class::Bulk, flow(99), 1514, packet, |_| {});
        }
    });
    let share = |sender: usize| (bench.greedy[sender].delivered * 1514) as f64 / (20 * 20 * MBIT) as f64;
    assert!(
        share(0) > 0.25 && share(1) > 0.25,
        "{} and {}",
        share(0),
        share(1)
    );
}

/// 1 for equal shares, 1/n for one who has everything (Jain, 1984).
fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    sum * sum / (shares.len() as f64 * shares.iter().map(|share| share * share).sum::<f64>())
}
