//! The good ones: subscribers that count what they get, and a publisher that never pauses for long.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use eventwall_sse::{Decoder, Item};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::ground::Ground;

/// Between two events.
const PACE: Duration = Duration::from_millis(100);
const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Seen {
    /// What the slowest and the fastest have got, and what was published.
    published: AtomicU64,
    got: Vec<AtomicU64>,
    latency: Mutex<Vec<u64>>,
    trouble: Mutex<Option<String>>,
    stop: AtomicBool,
}

pub struct Good {
    seen: Arc<Seen>,
    tasks: JoinSet<()>,
}

impl Good {
    /// Starts so many, and answers once each of them is live.
    pub async fn start(addr: SocketAddr, certificate: Option<Vec<u8>>, count: u64) -> Self {
        let got = (0..count).map(|_| AtomicU64::new(0)).collect();
        let seen = Arc::new(Seen { got, ..Seen::default() });
        let (ground, began) = (Arc::new(Ground::new(addr, certificate)), Instant::now());
        let mut tasks = JoinSet::new();
        // Nobody is turned away at the door by too many at once.
        let door = Arc::new(Semaphore::new(64));
        let live: Arc<[AtomicBool]> = (0..count).map(|_| AtomicBool::new(false)).collect();
        for n in 0..usize::try_from(count).unwrap() {
            let (seen, ground, live) = (seen.clone(), ground.clone(), live.clone());
            let door = door.clone();
            tasks.spawn(async move {
                if let Err(why) = follow(n, &seen, &ground, began, (&live, &door)).await {
                    seen.trouble.lock().unwrap().get_or_insert(format!("good {n}: {why}"));
                }
            });
        }
        while live.iter().any(|live| !live.load(Ordering::Relaxed)) {
            sleep(Duration::from_millis(5)).await;
            if let Some(trouble) = &*seen.trouble.lock().unwrap() {
                panic!("{trouble}");
            }
            assert!(began.elapsed() < DEADLINE, "the good ones do not get in");
        }
        let publishing = (seen.clone(), ground);
        tasks.spawn(async move {
            if let Err(why) = publish(&publishing.0, &publishing.1, began).await {
                publishing.0.trouble.lock().unwrap().get_or_insert(format!("publishing: {why}"));
            }
        });
        Self { seen, tasks }
    }

    /// Lets them be alone for a while.
    pub async fn quiet(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            sleep(Duration::from_millis(50)).await;
            self.check();
        }
    }

    /// Nobody was sent away, nothing missing, nothing doubled, so far.
    pub fn check(&self) {
        if let Some(trouble) = &*self.seen.trouble.lock().unwrap() {
            panic!("{trouble}");
        }
    }

    /// Waits until everybody has got what was published up to now.
    pub async fn settle(&self) {
        let (published, began) = (self.seen.published.load(Ordering::SeqCst), Instant::now());
        while self.seen.got.iter().any(|got| got.load(Ordering::Relaxed) < published) {
            sleep(Duration::from_millis(5)).await;
            self.check();
            assert!(began.elapsed() < DEADLINE, "somebody does not get what was published");
        }
    }

    pub fn forget_latency(&self) {
        self.seen.latency.lock().unwrap().clear();
    }

    /// From publish to delivery since it was last forgotten, in words and as p99 in milliseconds.
    pub fn latency(&self) -> (String, f64) {
        let mut all = self.seen.latency.lock().unwrap().clone();
        all.sort_unstable();
        let at = |part: usize| {
            let micros = all.get((all.len() * part / 1000).min(all.len().saturating_sub(1)));
            Duration::from_micros(micros.copied().unwrap_or_default()).as_secs_f64() * 1e3
        };
        let (p50, p99) = (at(500), at(990));
        (format!("p50 {p50:.1} ms, p99 {p99:.1} ms, {} events", all.len()), p99)
    }

    /// All that was published has come to everyone once, in order.
    pub async fn finish(mut self) {
        self.seen.stop.store(true, Ordering::SeqCst);
        self.settle().await;
        let published = self.seen.published.load(Ordering::SeqCst);
        assert!(published > 20, "hardly anything was published");
        println!("verified: {published} events came to each of {}, once", self.seen.got.len());
        self.tasks.shutdown().await;
    }
}

async fn follow(
    n: usize,
    seen: &Seen,
    ground: &Ground,
    began: Instant,
    (live, door): (&[AtomicBool], &Semaphore),
) -> Result<(), String> {
    let from = format!("203.0.113.{}", 1 + n % 200);
    let mut inside = Some(door.acquire().await.map_err(|error| error.to_string())?);
    let mut stream = ground.connect_inside(&from, false).await;
    // An answer to HTTP/1.0 needs no unwrapping.
    let request = "GET /topics/good HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n";
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let (mut decoder, mut buffer) = (Decoder::new(), vec![0; 2048]);
    let (mut head, mut answered) = (Vec::new(), false);
    loop {
        let read = timeout(DEADLINE, stream.read(&mut buffer)).await;
        let read = read.map_err(|_| "nothing came for a minute")?;
        let count = read.map_err(|error| format!("cut off: {error}"))?;
        if count == 0 {
            return Err(format!("sent away: {}", String::from_utf8_lossy(&head)));
        }
        let mut body = buffer[..count].to_vec();
        if !answered {
            head.append(&mut body);
            let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            body = head.split_off(end + 4);
            answered = true;
            if !head.starts_with(b"HTTP/1.0 200") {
                return Err(format!("refused: {}", String::from_utf8_lossy(&head)));
            }
        }
        let mut wrong = None;
        decoder.feed(&body, |item| match item {
            Item::Event(event) if event.event.starts_with("eventwall:") => {
                // The first tick: it is live. Others say nothing new.
                live[n].store(true, Ordering::Relaxed);
                inside = None;
            }
            Item::Event(event) => wrong = wrong.take().or(seen.take(n, &event.data, began)),
            Item::Retry(_) => wrong = Some("it was told to come back".to_owned()),
            _ => {}
        });
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
    }
}

impl Seen {
    /// Subscriber `n` got this; answers what is wrong with it.
    fn take(&self, n: usize, data: &str, began: Instant) -> Option<String> {
        let (number, sent) = data.split_once(' ')?;
        let (number, sent): (u64, u64) = (number.parse().ok()?, sent.parse().ok()?);
        let before = self.got[n].swap(number, Ordering::Relaxed);
        let now = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.latency.lock().unwrap().push(now.saturating_sub(sent));
        (before + 1 != number).then(|| format!("{number} came after {before}"))
    }
}

/// One event after the other, each acknowledged before the next. From this machine, as a service beside
/// the hub would.
async fn publish(seen: &Seen, ground: &Ground, began: Instant) -> Result<(), String> {
    let mut stream = ground.connect_inside("127.0.0.1", false).await;
    let mut number = 0;
    while !seen.stop.load(Ordering::SeqCst) {
        number += 1;
        let data = format!("{number} {}", began.elapsed().as_micros());
        let head = format!("Host: localhost\r\nContent-Length: {}", data.len());
        let request = format!("POST /topics/good HTTP/1.1\r\n{head}\r\n\r\n{data}");
        seen.published.store(number, Ordering::SeqCst);
        let text = |error: std::io::Error| error.to_string();
        stream.write_all(request.as_bytes()).await.map_err(text)?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"}\n") {
            let read = timeout(DEADLINE, stream.read_buf(&mut answer)).await;
            let count = read.map_err(|_| "no acknowledgement for a minute")?.map_err(text)?;
            if count == 0 {
                break;
            }
        }
        if !answer.starts_with(b"HTTP/1.1 201") {
            return Err(format!("it was refused: {}", String::from_utf8_lossy(&answer)));
        }
        sleep(PACE).await;
    }
    Ok(())
}
