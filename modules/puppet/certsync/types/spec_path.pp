# @summary The path of a spec, which has a folder of its own: others are not to read what is in it.
type Certsync::Spec_path = Pattern[/\A(\/[A-Za-z0-9_.@+-]+){3,}\z/]
