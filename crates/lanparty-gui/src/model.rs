//! The window without its drawing: from what the service says and what the player does to what is on the screen.
//!
//! Pure: time comes as an argument, orders to the service go out as values.

use std::collections::VecDeque;

use lanparty_api::{
    Command, Status, Storyteller,
    order::{Phase, RecentRoom, ServiceSettings, ServiceStatus, Wish},
    story::{Line, Tone},
};
use lanparty_wire::RoomId;

use crate::{
    checklist::{Progress, Step, checklist},
    entry::Entry,
};

/// How long the plot reaches back, in seconds.
pub const HISTORY: f64 = 120.0;
/// More sentences than anybody reads.
const STORY: usize = 100;

/// Which of the pages is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Page {
    #[default]
    Play,
    Help,
}

/// What is to be drawn on the first page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Screen {
    /// There is no service to talk to.
    NoService,
    /// An invite was opened, and the player has not said yes yet.
    Asking,
    /// In no room.
    Start,
    /// In a room, or on the way into one or out of one.
    Room,
}

/// What the tray shows: the whole evening in one colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    Off,
    Busy,
    Good,
    Bad,
}

/// One measurement of the line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    /// Seconds since the window was opened.
    pub at: f64,
    /// Milliseconds there and back, to the LAN gateway if it is known, otherwise to the relay.
    pub latency: Option<f64>,
    /// Percent of packets that the way to the relay has lost.
    pub loss: Option<f64>,
}

/// What comes from outside.
#[derive(Debug)]
pub enum News {
    /// The service says how it is.
    Status(Box<Status>),
    /// There is no service, and why.
    Away(String),
    Rooms(Vec<RecentRoom>),
    /// An order was refused, with what to do.
    Refused {
        reason: String,
        advice: Option<String>,
    },
    /// A file was written.
    Saved(String),
}

/// A sentence about the player's last click.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    pub is_good: bool,
    pub text: String,
    pub advice: Option<String>,
}

#[derive(Debug, Default)]
pub struct Model {
    pub page: Page,
    /// What the player has typed.
    pub text: String,
    pub relay: String,
    /// His name, as it is being typed.
    pub name: Option<String>,
    pub rooms: Vec<RecentRoom>,
    pub notice: Option<Notice>,
    pub samples: VecDeque<Sample>,
    pub story: VecDeque<Line>,
    teller: Storyteller,
    away: Option<String>,
    status: Option<Status>,
    invitation: Option<Invitation>,
}

/// An invite that was opened from outside.
#[derive(Clone, Debug)]
struct Invitation {
    link: String,
    /// What it would do, or why it cannot be used.
    says: Result<String, String>,
}

impl Model {
    /// Opened with an argument of the command line, if there was one.
    pub fn opened_with(link: Option<String>) -> Model {
        let mut model = Model::default();
        if let Some(link) = link {
            model.open(link);
        }
        model
    }

    /// A link was opened from outside. Nobody joins anything by a click on a web page alone.
    pub fn open(&mut self, link: String) {
        let says = match Entry::of(&link) {
            Entry::Link(invite) => Ok(format!("The relay is {}.", invite.relay)),
            Entry::Wrong(reason) => Err(reason),
            Entry::Nothing | Entry::Code | Entry::Room(_) => Err("This is no invite link.".to_owned()),
        };
        self.page = Page::Play;
        self.invitation = Some(Invitation { link, says });
    }

    /// Something has come from outside. `now` is in seconds since the window was opened.
    pub fn hear(&mut self, news: News, now: f64) -> Vec<Command> {
        match news {
            News::Status(status) => return self.take(*status, now),
            News::Away(reason) => {
                self.away = Some(reason);
                self.status = None;
            }
            News::Rooms(rooms) => self.rooms = rooms,
            News::Refused { reason, advice } => {
                self.notice = Some(Notice {
                    is_good: false,
                    text: sentence(&reason),
                    advice: advice.map(|advice| sentence(&advice)),
                });
            }
            News::Saved(file) => {
                self.notice = Some(Notice {
                    is_good: true,
                    text: format!("Saved: {file}"),
                    advice: None,
                });
            }
        }
        Vec::new()
    }

    fn take(&mut self, status: Status, now: f64) -> Vec<Command> {
        let before = self.phase();
        let is_new = self.status.is_none();
        self.away = None;
        for line in self.teller.tell(&status) {
            self.story.push_front(line);
            self.story.truncate(STORY);
        }
        if let Some(endpoint) = &status.endpoint {
            let rtt = endpoint.gateway.as_ref().and_then(|gateway| gateway.rtt_us);
            let rtt = rtt.or(endpoint.relay.rtt_us).filter(|_| endpoint.relay.connected);
            let latency = rtt.map(|us| us as f64 / 1000.0);
            let loss = endpoint.redundancy.as_ref().map(|r| r.loss_percent);
            self.samples.push_back(Sample {
                at: now,
                latency,
                loss,
            });
        } else {
            self.samples.clear();
        }
        while self
            .samples
            .front()
            .is_some_and(|sample| sample.at < now - HISTORY)
        {
            self.samples.pop_front();
        }
        self.status = Some(status);
        let entered = before != Phase::Preparing && self.phase() == Phase::Preparing;
        if entered {
            self.notice = None;
            self.story.clear();
        }
        // The list changes when a room was joined, which the end of an evening shows.
        let left = before != Phase::Idle && self.phase() == Phase::Idle;
        if is_new || left {
            vec![Command::Rooms]
        } else {
            Vec::new()
        }
    }

    pub fn screen(&self) -> Screen {
        if self.status.is_none() {
            Screen::NoService
        } else if self.invitation.is_some() && self.phase() == Phase::Idle {
            Screen::Asking
        } else if self.phase() == Phase::Idle {
            Screen::Start
        } else {
            Screen::Room
        }
    }

    pub fn status(&self) -> Option<&Status> {
        self.status.as_ref()
    }

    /// Why there is no service, once that is known.
    pub fn away(&self) -> Option<&str> {
        self.away.as_deref()
    }

    pub fn phase(&self) -> Phase {
        self.service().map_or(Phase::Idle, |service| service.phase)
    }

    pub fn service(&self) -> Option<&ServiceStatus> {
        self.status.as_ref()?.service.as_ref()
    }

    pub fn settings(&self) -> ServiceSettings {
        self.service()
            .map(|service| service.settings.clone())
            .unwrap_or_default()
    }

    pub fn steps(&self) -> Vec<Step> {
        self.status.as_ref().map(checklist).unwrap_or_default()
    }

    pub fn mood(&self) -> Mood {
        let steps = self.steps();
        if steps.is_empty() {
            return if self.service().is_some_and(|service| service.ended.is_some()) {
                Mood::Bad
            } else {
                Mood::Off
            };
        }
        // That no game has asked for anything yet keeps nobody from playing.
        if steps.iter().any(|step| step.progress == Progress::Stuck) {
            Mood::Bad
        } else if steps.iter().take(4).all(|step| step.progress == Progress::Done) {
            Mood::Good
        } else {
            Mood::Busy
        }
    }

    /// The evening in a few words, for headline and tray.
    pub fn headline(&self) -> &'static str {
        match (self.screen(), self.phase(), self.mood()) {
            (Screen::NoService, ..) => "The lanparty service is not running",
            (Screen::Asking, ..) => "You have opened an invite",
            (_, Phase::Idle, _) => "Not connected",
            (_, Phase::Leaving, _) => "Leaving the room …",
            (_, _, Mood::Good) => "You are at the party",
            (_, _, Mood::Bad) => "Something needs your attention",
            (_, _, Mood::Off | Mood::Busy) => "Connecting …",
        }
    }

    /// How the room is called on the screen.
    pub fn room(&self) -> Option<String> {
        let endpoint = self.status.as_ref()?.endpoint.as_ref()?;
        let host = endpoint
            .gateway
            .as_ref()
            .map(|gateway| gateway.name.as_str())
            .filter(|name| !name.is_empty());
        Some(match (host, &endpoint.room) {
            (Some(host), _) => host.to_owned(),
            (None, RoomId::Open(code)) => format!("Room {}", code.as_str()),
            (None, RoomId::Sealed(_)) => "Sealed room".to_owned(),
        })
    }

    pub fn entry(&self) -> Entry {
        Entry::of(&self.text)
    }

    /// What the question about an opened link says.
    pub fn invitation(&self) -> Option<&Result<String, String>> {
        self.invitation.as_ref().map(|invitation| &invitation.says)
    }

    /// The player presses Connect.
    pub fn connect(&mut self) -> Vec<Command> {
        let wish = self.entry().wish(&self.text, &self.relay);
        match wish {
            Ok(wish) => self.join(wish),
            Err(text) => {
                self.notice = Some(Notice {
                    is_good: false,
                    text,
                    advice: None,
                });
                Vec::new()
            }
        }
    }

    /// The player says yes to an invite that was opened.
    pub fn accept(&mut self) -> Vec<Command> {
        match self.invitation.take() {
            Some(Invitation { link, says: Ok(_) }) => self.join(Wish {
                ticket: Some(link),
                ..Wish::default()
            }),
            Some(Invitation { says: Err(_), .. }) | None => Vec::new(),
        }
    }

    pub fn decline(&mut self) {
        self.invitation = None;
    }

    /// The player goes back to a room of an earlier evening.
    pub fn rejoin(&mut self, room: &str) -> Vec<Command> {
        self.join(Wish {
            recent: Some(room.to_owned()),
            ..Wish::default()
        })
    }

    pub fn forget(&mut self, room: &str) -> Vec<Command> {
        let room = room.to_owned();
        vec![Command::Forget { room }, Command::Rooms]
    }

    pub fn disconnect(&mut self) -> Vec<Command> {
        vec![Command::Disconnect]
    }

    pub fn change(&mut self, settings: ServiceSettings) -> Vec<Command> {
        vec![Command::Change { settings }]
    }

    fn join(&mut self, wish: Wish) -> Vec<Command> {
        self.notice = None;
        vec![Command::Connect(Box::new(wish))]
    }

    /// Why the last evening ended before the player wanted it to.
    pub fn ended(&self) -> Option<Notice> {
        let ended = self.service()?.ended.as_ref()?;
        Some(Notice {
            is_good: false,
            text: sentence(&ended.reason),
            advice: ended.advice.as_deref().map(sentence),
        })
    }

    /// True for lines that the player should look at.
    pub fn is_worry(line: &Line) -> bool {
        line.tone == Tone::Warning
    }
}

/// The words of an error as a sentence of its own.
fn sentence(text: &str) -> String {
    let mut letters = text.trim().chars();
    let mut sentence: String = letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default();
    if !sentence.is_empty() && !sentence.ends_with(['.', '!', '?', '…']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn the_screen_follows_the_service() {
        let mut model = Model::default();
        assert_eq!(model.screen(), Screen::NoService);
        for (status, screen, headline) in [
            (samples::idle(), Screen::Start, "Not connected"),
            (samples::preparing(), Screen::Room, "Connecting …"),
            (samples::blocked(), Screen::Room, "Something needs your attention"),
            (samples::playing(), Screen::Room, "You are at the party"),
            (samples::ended(), Screen::Start, "Not connected"),
        ] {
            model.hear(News::Status(Box::new(status)), 0.0);
            assert_eq!((model.screen(), model.headline()), (screen, headline));
        }
        assert_eq!(model.ended().unwrap().text, "This short code is over.");
        model.hear(News::Away("gone".into()), 1.0);
        assert_eq!(model.screen(), Screen::NoService);
    }

    #[test]
    fn a_link_from_outside_is_asked_about_before_anything_is_joined() {
        let mut model = Model::opened_with(Some("lanparty://nonsense".into()));
        model.hear(News::Status(Box::new(samples::idle())), 0.0);
        assert_eq!(model.screen(), Screen::Asking);
        assert_eq!(model.headline(), "You have opened an invite");
        assert!(model.invitation().unwrap().is_err());
        assert_eq!(model.accept(), []);
        assert_eq!(model.screen(), Screen::Start);
    }

    #[test]
    fn connect_says_what_is_missing_and_otherwise_gives_the_order() {
        let mut model = Model::default();
        assert_eq!(model.connect(), []);
        assert!(model.notice.take().unwrap().text.starts_with("Paste the invite"));
        model.text = "friday".into();
        assert_eq!(model.connect(), []);
        model.relay = "relay.example.org".into();
        let orders = model.connect();
        let [Command::Connect(wish)] = orders.as_slice() else {
            panic!("{orders:?}")
        };
        assert_eq!(wish.room, Some("FRIDAY".parse().unwrap()));
        assert_eq!(model.notice, None);
    }

    #[test]
    fn recent_rooms_are_asked_for_at_the_start_and_after_every_evening() {
        let mut model = Model::default();
        let mut hear = |status| model.hear(News::Status(Box::new(status)), 0.0);
        assert_eq!(hear(samples::idle()), [Command::Rooms]);
        assert_eq!(hear(samples::playing()), []);
        assert_eq!(hear(samples::idle()), [Command::Rooms]);
        assert_eq!(hear(samples::idle()), []);
    }

    #[test]
    fn the_plot_reaches_back_two_minutes_and_ends_with_the_evening() {
        let mut model = Model::default();
        for second in 0..200 {
            model.hear(News::Status(Box::new(samples::playing())), f64::from(second));
        }
        assert_eq!(model.samples.front().unwrap().at, 79.0);
        assert_eq!(model.samples.back().unwrap().latency, Some(31.0));
        model.hear(News::Status(Box::new(samples::idle())), 200.0);
        assert!(model.samples.is_empty());
    }
}
