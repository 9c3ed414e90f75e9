import SystemPackage

/// How sealer uses ssh for a host.
public struct SSHSessionOptions: Sendable {
    /// Below this folder each host gets a folder of its own, for this user only, with the sockets of its connection. Its path must be
    /// short: at most 50 bytes.
    public var socketFolder: FilePath = "/tmp"
    /// A file of known host keys (the cluster's) that counts first and gets new keys; nil for the user's files alone.
    public var knownHostsFile: FilePath?
    /// Whether the key of a host that no file knows is recorded and trusted. A changed key never is.
    public var acceptsNewHostKeys = false
    /// How long a login may take, from the first packet to the user's shell, and again from there to sealer's program on the host.
    public var connectLimit: Duration = .seconds(60)
    /// How long the placing of a file may go on without getting on.
    public var stallLimit: Duration = .seconds(120)
    /// How long a connection stays when nothing uses it, also when sealer was killed.
    public var idleLimit: Duration = .seconds(60)
    /// The program that ssh asks for passwords, which calls `AskPass.runIfInvoked`; nil for this very executable.
    public var askPassProgram: FilePath?
    /// OpenSSH's client: a name that PATH knows, or a path.
    public var program = "ssh"
    /// Further options of ssh for the connection, after sealer's own, which win.
    public var extraOptions: [String] = []

    /// Makes options with the values above.
    public init() {}
}
