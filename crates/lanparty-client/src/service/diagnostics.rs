//! What the service puts into the zip for somebody who is asked for help.

use std::time::{SystemTime, UNIX_EPOCH};

use lanparty_api::{
    Answer, Status, diagnostics, doctor,
    order::{RecentRoom, ServiceSettings},
    render,
};
use lanparty_os::network::Network;
use serde::Serialize;

use crate::doctor::machine;

/// Everything that the service itself knows.
pub struct Material {
    pub status: Status,
    pub settings: ServiceSettings,
    pub rooms: Vec<RecentRoom>,
    /// What lets somebody in.
    pub secrets: Vec<String>,
    /// What it has logged and said last.
    pub log: String,
    pub tap: String,
}

/// Looks at this machine, and packs everything.
pub async fn collect(material: Material) -> Answer {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let texts = [
        ("status.txt", render::text(&material.status, now)),
        ("status.json", json(&material.status)),
        ("settings.json", json(&material.settings)),
        ("rooms.json", json(&material.rooms)),
        ("machine.txt", look(&material.tap).await),
        ("log.txt", material.log),
    ];
    match diagnostics::archive(&texts, &material.secrets) {
        Ok(zip) => Answer::diagnostics(&zip),
        Err(error) => Answer::refused(format!("the zip could not be made: {error}")),
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| error.to_string())
}

/// What the doctor sees without asking anybody, and the network as it is.
async fn look(tap: &str) -> String {
    let snapshot = match Network::open() {
        Ok(network) => network.snapshot().await,
        Err(error) => Err(error),
    };
    match snapshot {
        Ok(snapshot) => {
            let findings: String = machine(&snapshot, tap)
                .iter()
                .map(|finding| doctor::text(finding, false))
                .collect();
            format!("{findings}\n{snapshot:#?}\n")
        }
        Err(error) => format!("could not look at this machine's network: {error}\n"),
    }
}
