# @summary The name of a user, a group or a host.
type Certsync::Name = Pattern[/\A[A-Za-z0-9_][A-Za-z0-9_.-]*\z/]
