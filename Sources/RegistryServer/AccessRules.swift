import SystemPackage

/// Who may do what in a registry.
public struct AccessRules: Sendable, Hashable {
    /// A file of accounts, a line each: `NAME:HASH`, the hash by bcrypt (`htpasswd -B`). Without one everybody may pull.
    public var htpasswd: FilePath?
    /// The accounts that may push; the others may only pull.
    public var pushers: Set<String> = []
    /// Whether everybody may push, when there are no accounts.
    public var allowsAnonymousPush = false
    /// The accounts that see only some repositories: full names, or beginnings of them up to a slash
    /// (`docker.io/team` is also `docker.io/team/tool`). Accounts that are not named here see all.
    public var confined: [String: Set<String>] = [:]
    /// How often the file is looked at for changes; a change younger than this is left alone, because somebody may still be
    /// writing it.
    public var rereadAfter: Duration = .seconds(1)
    /// How long a password that was right is not checked again.
    public var rememberedFor: Duration = .seconds(300)
    /// How many passwords are checked at once; each keeps a core busy for a tenth of a second or so.
    public var concurrentChecks = 2

    /// Makes rules under which everybody may pull and nobody may push.
    public init() {}
}

/// Who a request comes from, and what that allows.
struct Account: Hashable, Sendable {
    /// nil is anybody.
    var name: String?
    var mayPush: Bool
    /// The repositories that the account sees; nil is all.
    var repositories: Set<String>?

    var isConfined: Bool { repositories != nil }

    /// What is there for the account.
    var scope: RepositoryScope { repositories.map { RepositoryScope($0) } ?? .all }

    /// Whether the account sees the repository of that full name.
    func sees(_ repository: String) -> Bool { scope.contains(repository) }
}
