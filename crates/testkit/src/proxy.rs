//! A TCP proxy that can cut a line, or hold every byte as a dead network does.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

const OPEN: u8 = 0;
const CUT: u8 = 1;
const HELD: u8 = 2;
const ENDED: u8 = 3;

/// How often a held line looks whether it is open again.
const LOOK: Duration = Duration::from_millis(20);

/// From an address of its own to another, until dropped.
#[derive(Debug)]
pub struct Proxy {
    pub addr: SocketAddr,
    state: Arc<AtomicU8>,
    lines: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// To an address where somebody may listen, now or later.
    #[must_use]
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let (state, lines) = (Arc::new(AtomicU8::new(OPEN)), Arc::new(Mutex::new(Vec::new())));
        let (its_state, its_lines) = (state.clone(), lines.clone());
        let thread = std::thread::spawn(move || accept(&listener, target, &its_state, &its_lines));
        Self { addr, state, lines, thread: Some(thread) }
    }

    /// Every line breaks, and no new one is let through.
    pub fn cut(&self) {
        self.state.store(CUT, Ordering::SeqCst);
        for line in self.lines.lock().unwrap().drain(..) {
            let _ = line.shutdown(Shutdown::Both);
        }
    }

    /// Lines stay open, and nothing comes through.
    pub fn hold(&self) {
        self.state.store(HELD, Ordering::SeqCst);
    }

    pub fn heal(&self) {
        self.state.store(OPEN, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.state.store(ENDED, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(
    listener: &TcpListener,
    target: SocketAddr,
    state: &Arc<AtomicU8>,
    lines: &Mutex<Vec<TcpStream>>,
) {
    for client in listener.incoming() {
        let Ok(client) = client else { continue };
        match state.load(Ordering::SeqCst) {
            ENDED => return,
            CUT => continue,
            _ => {}
        }
        let Ok(server) = TcpStream::connect_timeout(&target, Duration::from_secs(1)) else {
            continue;
        };
        for line in [&client, &server] {
            let _ = line.set_nodelay(true);
            let _ = line.set_read_timeout(Some(LOOK));
        }
        let copies = [&client, &server].map(TcpStream::try_clone);
        let [Ok(from_client), Ok(from_server)] = copies else { continue };
        {
            let mut lines = lines.lock().unwrap();
            lines.extend([&client, &server].into_iter().filter_map(|line| line.try_clone().ok()));
        }
        let (up, down) = (state.clone(), state.clone());
        std::thread::spawn(move || carry(from_client, server, &up));
        std::thread::spawn(move || carry(from_server, client, &down));
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, state: &AtomicU8) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if state.load(Ordering::SeqCst) == HELD {
            std::thread::sleep(LOOK);
            continue;
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                while state.load(Ordering::SeqCst) == HELD {
                    std::thread::sleep(LOOK);
                }
                if to.write_all(&buffer[..n]).is_err() {
                    break;
                }
            }
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
