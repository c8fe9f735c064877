# @summary Where a program comes from: a path on the host, or a file that the server has.
type Certsync::Source = Variant[Certsync::Path, Pattern[/\A(puppet|https?|file):\/\//]]
