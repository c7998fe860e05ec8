//! Who may read and write which topics: everyone everything, or what patterns name. Decides by topic
//! alone; who sends a request is not asked. The hub's own topics, which begin with `$`, are never public.

use eventwall_log::{Filter, Pattern, Topic};
use http::StatusCode;

use crate::Problem;

/// What is public.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    only: Option<Public>,
}

/// What everyone may do, where that is not everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Public {
    /// Topics to read.
    pub read: Vec<Pattern>,
    /// Topics to publish to.
    pub write: Vec<Pattern>,
    /// Topics that apps over the hub, such as the wall, publish to for their visitors, by their own rules.
    pub post: Vec<Pattern>,
}

impl Access {
    /// Everyone may do everything.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Everyone may do this and nothing else.
    #[must_use]
    pub fn only(public: Public) -> Self {
        Self { only: Some(public) }
    }

    /// The topics that visitors post to, where not everything is open.
    #[must_use]
    pub fn posted(&self) -> &[Pattern] {
        self.only.as_ref().map_or(&[], |public| &public.post)
    }

    /// What is open, in words; `None`: everything.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let Public { read, write, post } = self.only.as_ref()?;
        let list = |what: &str, patterns: &[Pattern]| {
            let texts: Vec<_> = patterns.iter().map(ToString::to_string).collect();
            (!texts.is_empty()).then(|| format!("{what} {}", texts.join(", ")))
        };
        let all = [list("read", read), list("post to", post), list("publish to", write)];
        Some(format!("everyone may {}", all.into_iter().flatten().collect::<Vec<_>>().join("; ")))
    }

    /// Whether everyone may do everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.only.is_none()
    }

    /// Whether a topic may be read.
    #[must_use]
    pub fn reads(&self, topic: &Topic) -> bool {
        self.only.as_ref().is_none_or(|public| matches(&public.read, topic))
    }

    /// Whether a topic may be published to.
    #[must_use]
    pub fn writes(&self, topic: &Topic) -> bool {
        self.only.as_ref().is_none_or(|public| matches(&public.write, topic))
    }

    /// Whether visitors may post to a topic by way of an app.
    #[must_use]
    pub fn posts(&self, topic: &Topic) -> bool {
        self.only.as_ref().is_none_or(|public| matches(&public.post, topic))
    }

    /// Refuses readers of what is not public.
    ///
    /// # Errors
    /// `403`.
    pub fn check_read(&self, topic: &Topic) -> Result<(), Problem> {
        if self.reads(topic) { Ok(()) } else { Err(refused(topic, "read", READ)) }
    }

    /// Refuses readers of more than what is public: a pattern is never narrowed in silence.
    pub(crate) fn check_follow(&self, pattern: &Pattern) -> Result<(), Problem> {
        let Some(public) = &self.only else { return Ok(()) };
        if public.read.iter().any(|granted| granted.covers(pattern)) {
            return Ok(());
        }
        Err(refused(pattern, "read", READ))
    }

    /// Whether all of this may be read.
    pub(crate) fn reads_all_of(&self, filter: &Filter) -> bool {
        match filter {
            Filter::All => self.is_everything(),
            Filter::Topics(topics) => topics.iter().all(|topic| self.reads(topic)),
            Filter::Selection(selection) => {
                selection.topics().iter().all(|topic| self.reads(topic))
                    && selection.patterns().iter().all(|pattern| self.check_follow(pattern).is_ok())
            }
        }
    }

    pub(crate) fn check_write(&self, topic: &Topic) -> Result<(), Problem> {
        if self.writes(topic) {
            return Ok(());
        }
        if self.posts(topic) {
            let detail = format!(
                "{topic} is a wall that visitors post to from its page: publishing to it directly is not open to everyone"
            );
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
        Err(refused(topic, "published to", "`public_write` does"))
    }

    /// Refuses visitors' posts to what is not theirs.
    ///
    /// # Errors
    /// `403`.
    pub fn check_post(&self, topic: &Topic) -> Result<(), Problem> {
        if self.posts(topic) {
            Ok(())
        } else {
            Err(refused(topic, "posted to", "`public_walls` does"))
        }
    }

    /// What changes or shows the hub as a whole is for those only to whom all of it is open.
    ///
    /// # Errors
    /// `403`.
    pub fn check_whole(&self, what: &str) -> Result<(), Problem> {
        if self.is_everything() {
            return Ok(());
        }
        let detail = format!("{what} is not for everyone, where only some topics are public");
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }
}

fn matches(patterns: &[Pattern], topic: &Topic) -> bool {
    patterns.iter().any(|pattern| pattern.matches(topic))
}

const READ: &str = "`public_read` and `public_walls` do";

fn refused(what: impl std::fmt::Display, how: &str, keys: &str) -> Problem {
    let detail = format!("{what} may not be {how} by everyone: the server's {keys} not cover it");
    Problem::new(StatusCode::FORBIDDEN, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_public_is_open_and_nothing_else() {
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let access = Access::only(Public {
            read: patterns(&["news", "walls/*"]),
            write: patterns(&["inbox/**"]),
            post: patterns(&["walls/lobby"]),
        });
        let topic = |name: &str| name.parse::<Topic>().unwrap();
        assert!(access.reads(&topic("news")) && access.reads(&topic("walls/lobby")));
        assert!(!access.reads(&topic("news/x")) && !access.reads(&topic("inbox/1")));
        assert!(access.check_write(&topic("inbox/1/2")).is_ok());
        assert!(access.check_write(&topic("walls/lobby")).is_err());
        assert!(access.posts(&topic("walls/lobby")) && !access.posts(&topic("walls/x")));
        assert!(access.check_follow(&"walls/*".parse().unwrap()).is_ok());
        assert!(access.check_follow(&"**".parse().unwrap()).is_err(), "never narrowed");
        assert!(access.check_whole("this").is_err());
    }

    #[test]
    fn nothing_is_public_of_the_hubs_own() {
        let all = Access::only(Public { read: vec!["**".parse().unwrap()], ..Public::default() });
        assert!(all.reads(&"a/b".parse().unwrap()));
        assert!(!all.reads(&"$private/x".parse().unwrap()));
    }
}
