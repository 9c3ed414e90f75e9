import Report

/// Where the secrets for a host come from. They are asked for when they are needed and not kept; nothing of them is ever shown.
///
/// A closure may take its time, to ask a person for example: that time does not count against the limits. It may be called again for
/// each new connection.
public struct SSHSecrets: Sendable {
    /// Gives the user's password for the login.
    public var password: (@Sendable () async throws -> String?)?
    /// Gives the passphrase of a private key, whose path it gets as ssh names it.
    public var passphrase: (@Sendable (_ key: String) async throws -> String?)?
    /// Gives the user's password for sudo.
    public var sudoPassword: (@Sendable () async throws -> String?)?

    /// Makes secrets of closures.
    ///
    /// - Parameter sudoPassword: nil for the password of the login.
    public init(
        password: (@Sendable () async throws -> String?)? = nil,
        passphrase: (@Sendable (_ key: String) async throws -> String?)? = nil,
        sudoPassword: (@Sendable () async throws -> String?)? = nil
    ) {
        self.password = password
        self.passphrase = passphrase
        self.sudoPassword = sudoPassword ?? password
    }

    /// None: keys, agent and certificates must do, and sudo must not ask.
    public static let none = SSHSecrets()

    /// Secrets that are known: a password for login and sudo, a passphrase for whatever key asks for one.
    public static func known(password: String?, passphrase: String? = nil) -> SSHSecrets {
        var secrets = SSHSecrets()
        if let password {
            secrets.password = { password }
            secrets.sudoPassword = { password }
        }
        if let passphrase { secrets.passphrase = { _ in passphrase } }
        return secrets
    }

    /// Whether ssh has no question that could be answered.
    var hasNoneForLogin: Bool { password == nil && passphrase == nil }
}

extension SSHSecrets: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Says nothing.
    public var description: String { "secrets" }
    /// Says nothing.
    public var debugDescription: String { "secrets" }
    /// Shows nothing.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
