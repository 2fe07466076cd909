//! Answers the CA's question whether the domain is ours (HTTP-01, RFC 8555, section 8.3), and nothing else.

use std::{io, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

const PATH: &str = "/.well-known/acme-challenge/";
/// A CA asks from a handful of places at once.
const MOST_CALLERS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 4096;

/// The token that is asked for, and the answer; none while no certificate is being asked for.
#[derive(Clone, Debug, Default)]
pub struct Answer(Arc<Mutex<Option<(String, String)>>>);

impl Answer {
    pub fn set(&self, answer: Option<(String, String)>) {
        *self.0.lock() = answer;
    }

    fn to(&self, path: &str) -> Option<String> {
        let token = path.strip_prefix(PATH)?;
        let answer = self.0.lock();
        let (_, text) = answer.as_ref().filter(|(asked, _)| asked == token)?;
        Some(text.clone())
    }
}

/// Answers whoever asks, for ever.
pub async fn serve(listener: TcpListener, answer: Answer) {
    let callers = Arc::new(Semaphore::new(MOST_CALLERS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many files are open, or the caller has gone.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = callers.clone().try_acquire_owned() else {
            continue;
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            // Whoever does not ask in time, or not in HTTP, is not missed.
            let _ = timeout(PATIENCE, reply(stream, &answer)).await;
            drop(place);
        });
    }
}

async fn reply(mut stream: TcpStream, answer: &Answer) -> io::Result<()> {
    let mut bytes = Vec::new();
    let path = loop {
        if let Some(path) = requested(&bytes)? {
            break path;
        }
        let mut more = [0; 1024];
        let length = stream.read(&mut more).await?;
        if length == 0 || bytes.len() + length > MOST_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.extend_from_slice(&more[..length]);
    };
    let (status, text) = match answer.to(&path) {
        Some(text) => ("200 OK", text),
        None => ("404 Not Found", String::new()),
    };
    let length = text.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// The path of a whole request; `None` if there is more to come.
fn requested(bytes: &[u8]) -> io::Result<Option<String>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request
        .parse(bytes)
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    if parsed.is_partial() {
        return Ok(None);
    }
    match (request.method, request.path) {
        (Some("GET"), Some(path)) => Ok(Some(path.to_owned())),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(address: std::net::SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        for piece in request.as_bytes().chunks(7) {
            stream.write_all(piece).await.unwrap();
        }
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        said
    }

    #[tokio::test]
    async fn only_the_token_that_is_asked_for_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Answer::default();
        let server = tokio::spawn(serve(listener, answer.clone()));
        let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let known = request("/.well-known/acme-challenge/abc");
        assert!(ask(address, &known).await.starts_with("HTTP/1.1 404"));
        answer.set(Some(("abc".into(), "abc.thumb".into())));
        let said = ask(address, &known).await;
        assert!(
            said.starts_with("HTTP/1.1 200") && said.ends_with("\r\n\r\nabc.thumb"),
            "{said}"
        );
        assert!(ask(address, &request("/abc")).await.starts_with("HTTP/1.1 404"));
        assert_eq!(ask(address, "POST / HTTP/1.1\r\n\r\n").await, "");
        server.abort();
    }
}
