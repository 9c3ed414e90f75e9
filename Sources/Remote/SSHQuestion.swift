/// What ssh asks for, as its text tells. Part of the text comes from the host, or from another one on the way.
enum SSHQuestion: Sendable, Hashable {
    /// The password of the user on the target.
    case password
    /// The passphrase of a private key of this machine.
    case passphrase(key: String)
    /// A password or something else for another user or host than the target: a jump host on the way.
    case elsewhere(String)
    /// Whether an unknown host key shall be trusted.
    case hostKey(String)
    /// Something else that the target wants to know: a one-time code, a new password.
    case challenge(String)
    /// All else, of ssh itself: a PIN, a touch.
    case other(String)

    /// Reads a question.
    ///
    /// - Parameter configuration: the target, as ssh names it in its questions.
    init(_ text: String, _ configuration: SSHConfiguration) {
        let question = Self.trimmed(text)
        // ssh cuts long names in its questions.
        let user = String(decoding: configuration.user.utf8.prefix(30), as: UTF8.self)
        let host = String(
            decoding: (configuration.hostKeyAlias ?? configuration.hostname).utf8.prefix(128), as: UTF8.self)
        let target = "\(user)@\(host)"
        if question.hasPrefix("Enter passphrase for ") {
            let name = question.dropFirst("Enter passphrase for ".count).drop { $0 != "'" && $0 != "/" }
            self = .passphrase(key: name.filter { $0 != "'" && $0 != ":" })
        } else if question.contains("continue connecting") || question.contains("authenticity of host") {
            self = .hostKey(question)
        } else if let rest = Self.drop("(\(target)) ", from: question) {
            // The rest is the host's own text.
            self = Self.asksForPassword(rest) ? .password : .challenge(rest)
        } else if question.hasPrefix("(") && question.prefix(while: { $0 != ")" }).contains("@") {
            self = .elsewhere(question)
        } else if Self.drop(target, from: question) == "'s password:" {
            self = .password
        } else if question.hasSuffix("'s password:") {
            self = .elsewhere(question)
        } else if Self.asksForPassword(question) {
            // Older clients show the host's text alone. Whose text it is shows only when there is one host.
            self = configuration.usesProxy ? .elsewhere(question) : .password
        } else {
            self = .other(question)
        }
    }

    /// Whether to leave ssh alone when this is not answered: it goes on to the next key, or ends by itself. With all others an empty
    /// answer would go to the host and count as an attempt.
    var mayGoUnanswered: Bool {
        switch self {
        case .passphrase, .hostKey, .other: true
        case .password, .elsewhere, .challenge: false
        }
    }

    private static func asksForPassword(_ text: String) -> Bool {
        let words = text.lowercased().split { !$0.isLetter }
        guard words.contains("password") else { return false }
        return !words.contains {
            ["new", "retype", "again", "old", "current", "change", "expired", "pin"].contains($0)
        }
    }

    private static func drop(_ prefix: String, from text: String) -> String? {
        // ssh writes host names in small letters.
        guard text.lowercased().hasPrefix(prefix.lowercased()) else { return nil }
        return String(text.dropFirst(prefix.count))
    }

    private static func trimmed(_ text: String) -> String {
        guard let first = text.firstIndex(where: { !$0.isWhitespace }),
            let last = text.lastIndex(where: { !$0.isWhitespace })
        else { return "" }
        return String(text[first...last])
    }
}
