/// A secret that a Clusterfile refers to, or, with a warning, holds.
public enum SecretReference: Hashable, Sendable {
    /// The value of an environment variable of the sealer command: `env:NAME`.
    case environment(String)
    /// The first line of a file: `file:PATH`.
    case file(String)
    /// sealer asks at the terminal: `prompt`.
    case prompt
    /// The secret itself. It is never written back.
    case literal(Secret)

    /// Reads what a file says: `env:NAME`, `file:PATH`, `prompt`, or the secret itself.
    public init(reading text: String) {
        if text.hasPrefix("env:") {
            self = .environment(String(text.dropFirst(4)))
        } else if text.hasPrefix("file:") {
            self = .file(String(text.dropFirst(5)))
        } else {
            self = text == "prompt" ? .prompt : .literal(Secret(text))
        }
    }

    /// What is written into a file: a literal secret becomes `prompt`.
    var text: String {
        switch self {
        case .environment(let name): "env:\(name)"
        case .file(let path): "file:\(path)"
        case .prompt, .literal: "prompt"
        }
    }

    /// A secret text: it has no description, so that it slips into no log.
    public struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible,
        CustomReflectable
    {
        /// The text itself.
        public let value: String
        /// Makes a secret.
        public init(_ value: String) { self.value = value }
        /// Stands for the secret where something prints it.
        public var description: String { "(secret)" }
        /// The same.
        public var debugDescription: String { description }
        /// Nothing: `dump` looks into values.
        public var customMirror: Mirror { Mirror(self, children: []) }
    }
}

/// How a host is reached by SSH. What is nil is left to the level above, and in the end to OpenSSH's own configuration.
public struct SSHSettings: Hashable, Sendable {
    /// The login user.
    public var user: String?
    /// The login user's password, which sudo is given too.
    public var password: SecretReference?
    /// The private key's file.
    public var identityFile: String?
    /// The private key's passphrase.
    public var passphrase: SecretReference?
    /// The port.
    public var port: UInt16?

    /// Makes settings.
    public init(
        user: String? = nil, password: SecretReference? = nil, identityFile: String? = nil,
        passphrase: SecretReference? = nil, port: UInt16? = nil
    ) {
        self.user = user
        self.password = password
        self.identityFile = identityFile
        self.passphrase = passphrase
        self.port = port
    }

    /// The options that tell a command without a Clusterfile the same; a literal secret becomes `prompt`.
    public var options: [String] {
        let values: [(option: String, value: String?)] = [
            ("--user", user), ("--passwd", password?.text), ("--pk", identityFile), ("--pk-passwd", passphrase?.text),
            ("--port", port.map { String($0) }),
        ]
        return values.flatMap { option, value -> [String] in
            guard let value else { return [] }
            return [option, value]
        }
    }

    /// These settings where they say something, else those below.
    public func over(_ below: SSHSettings) -> SSHSettings {
        SSHSettings(
            user: user ?? below.user, password: password ?? below.password,
            identityFile: identityFile ?? below.identityFile, passphrase: passphrase ?? below.passphrase,
            port: port ?? below.port
        )
    }
}
