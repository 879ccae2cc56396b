//! `--user` of the commands that run others: becoming somebody else before.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};

/// A user of this machine, from /etc/passwd and /etc/group: no other directory of users is asked.
pub(super) struct Account {
    name: String,
    user: u32,
    group: u32,
    groups: Vec<u32>,
    home: PathBuf,
}

impl Account {
    pub(super) fn named(name: &str) -> anyhow::Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| path.to_owned());
        let users = read("/etc/passwd")?;
        Self::parse(name, &users, &read("/etc/group")?).ok_or_else(|| anyhow!("user: unknown user {name}"))
    }

    fn parse(name: &str, users: &str, groups: &str) -> Option<Self> {
        let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
        let number = |place: usize| fields.get(place)?.parse::<u32>().ok();
        let (user, group) = (number(2)?, number(3)?);
        let has = |line: &&str| line.rsplit(':').next().is_some_and(|members| members.split(',').any(|it| it == name));
        let further = groups.lines().filter(has).filter_map(|line| line.split(':').nth(2)?.parse().ok());
        let groups = std::iter::once(group).chain(further.filter(|further| *further != group)).collect();
        Some(Self { name: name.to_owned(), user, group, groups, home: fields.get(5)?.into() })
    }

    /// What login would set, besides what the caller's environment says.
    pub(super) fn environment(&self) -> [(&'static str, String); 3] {
        [("HOME", self.home.display().to_string()), ("USER", self.name.clone()), ("LOGNAME", self.name.clone())]
    }

    /// Gives up the caller's rights for this user's, for this thread and what it starts.
    #[cfg(target_os = "linux")]
    pub(super) fn enter(&self) -> anyhow::Result<()> {
        use rustix::fs::{Gid, Uid};
        use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
        // The user's limit on locked memory would leave none to start anything.
        let _ = rustix::mm::munlockall();
        let (user, group) = (Uid::from_raw(self.user), Gid::from_raw(self.group));
        let groups: Vec<Gid> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        let entered = set_thread_groups(&groups)
            .and_then(|()| set_thread_res_gid(group, group, group))
            .and_then(|()| set_thread_res_uid(user, user, user));
        entered.with_context(|| format!("cannot become user {}", self.name))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn enter(&self) -> anyhow::Result<()> {
        Err(anyhow!("cannot become user {}: only Linux is supported", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_its_group_and_those_that_name_it() {
        let users = "root:x:0:0:root:/root:/bin/bash\napp:x:1000:1001:An App:/home/app:/bin/sh\n";
        let groups = "root:x:0:\napp:x:1001:app\naudio:x:29:root,app\nvideo:x:30:application\n";
        let app = Account::parse("app", users, groups).unwrap();
        assert_eq!((app.user, app.group, app.groups.as_slice()), (1000, 1001, [1001, 29].as_slice()));
        assert_eq!(app.environment().map(|(_, value)| value), ["/home/app", "app", "app"]);
        assert!(Account::parse("ap", users, groups).is_none());
    }
}
