//! HTTP/1.1 by hand: exactly the bytes that a test wants, and whatever comes back.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use crate::DEADLINE;

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

/// An open connection, and the bytes read from it that nobody has taken yet.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// What was read and nobody has taken yet.
    pub fn take_buffered(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Reads more; an error if the peer has closed.
    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 64 * 1024];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.buffer.extend_from_slice(&chunk[..n]);
                Ok(())
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            self.fill()?;
        }
    }

    fn take(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < n {
            self.fill()?;
        }
        Ok(self.buffer.drain(..n).collect())
    }

    /// Whether something has come that was not taken yet, or the peer has closed.
    #[must_use]
    pub fn has_answer(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        !self.buffer.is_empty()
            || !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Reads an answer's head.
    pub fn head(&mut self) -> io::Result<Response> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no HTTP: {status_line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
                None => return Ok(Response { status, headers, body: Vec::new() }),
            }
        }
    }

    /// The next chunk of a chunked body; `None` at its end.
    pub fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let size = self.line()?;
        let size = usize::from_str_radix(&size, 16).map_err(|_| io::Error::other("no chunk"))?;
        let chunk = self.take(size)?;
        self.take(2)?;
        Ok((size > 0).then_some(chunk))
    }

    /// The text of a stream as far as `part`, which is waited for, and what came with it.
    pub fn text_until(&mut self, part: &str) -> io::Result<String> {
        let (mut text, mut looked) = (Vec::new(), 0);
        // Only what came since: there may be thousands of chunks.
        while !text[looked..].windows(part.len()).any(|found| found == part.as_bytes()) {
            looked = text.len().saturating_sub(part.len());
            text.extend(self.chunk()?.ok_or(io::ErrorKind::UnexpectedEof)?);
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        self.stream.read_to_end(&mut self.buffer)?;
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Reads a whole answer.
    pub fn response(&mut self) -> io::Result<Response> {
        let mut response = self.head()?;
        let length = response.header("content-length").and_then(|length| length.parse().ok());
        if let Some(length) = length {
            response.body = self.take(length)?;
        } else if response.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk()? {
                response.body.extend(chunk);
            }
        }
        Ok(response)
    }

    /// Whether the peer has closed, after taking what it still sent.
    pub fn is_closed(&mut self) -> bool {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(error) => {
                    return !matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    );
                }
            }
        }
    }
}

/// Follows a target; answers its head, and the connection with what comes of it.
pub fn stream(addr: SocketAddr, target: &str, headers: &[&str]) -> (Response, Connection) {
    let mut connection = Connection::open(addr).unwrap();
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    connection.send(format!("GET {target} HTTP/1.1\r\nHost: {addr}\r\n{headers}\r\n")).unwrap();
    let head = connection.head().unwrap();
    assert_eq!(head.status, 200, "{target}");
    (head, connection)
}

/// One request on a connection of its own. `headers` are lines without line ends.
pub fn request(
    addr: SocketAddr,
    method: &str,
    target: &str,
    headers: &[&str],
    body: &[u8],
) -> Response {
    let mut connection = Connection::open(addr).unwrap();
    let mut head = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
        head += &format!("Host: {addr}\r\n");
    }
    for line in headers {
        head += &format!("{line}\r\n");
    }
    if matches!(method, "POST" | "PUT") {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    connection.send(head + "\r\n").unwrap();
    // A server that refuses before the end of the body may close while it is sent.
    let _ = connection.send(body);
    if method == "HEAD" { connection.head().unwrap() } else { connection.response().unwrap() }
}

pub fn get(addr: SocketAddr, target: &str, headers: &[&str]) -> Response {
    request(addr, "GET", target, headers, b"")
}

/// A JSON page.
pub fn get_json(addr: SocketAddr, target: &str) -> serde_json::Value {
    let response = get(addr, target, &["Accept: application/json"]);
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

/// All events of a topic after an id, by pages of JSON: data and id. There must be no gap.
pub fn history(addr: SocketAddr, topic: &str, after: &str) -> Vec<(String, String)> {
    let (mut cursor, mut events) = (after.to_owned(), Vec::new());
    loop {
        let page = get_json(addr, &format!("/topics/{topic}?after={cursor}&limit=1000"));
        assert!(page.get("gap").is_none(), "{page}");
        for event in page["events"].as_array().unwrap() {
            let text = |field: &str| event[field].as_str().unwrap().to_owned();
            events.push((text("data"), text("id")));
        }
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if page["more"] == false {
            return events;
        }
    }
}

/// Publishes and answers the id.
pub fn post(addr: SocketAddr, target: &str, body: impl AsRef<[u8]>) -> String {
    let response = request(addr, "POST", target, &[], body.as_ref());
    assert_eq!(response.status, 201, "{}", response.text());
    response.json()["id"].as_str().unwrap().to_owned()
}
