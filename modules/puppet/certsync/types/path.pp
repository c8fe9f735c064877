# @summary An absolute path without anything in it that a shell, sudo, cron or systemd would read as more than a path.
type Certsync::Path = Pattern[/\A(\/[A-Za-z0-9_.@+-]+)+\z/]
