import Report
import SystemPackage

/// A target, as failures need it.
struct SSHPlace: Sendable {
    /// The host's name for people.
    let name: String
    let configuration: SSHConfiguration
    let options: SSHSessionOptions

    /// `user@host, port N`.
    var login: String {
        "\(configuration.user)@\(configuration.hostname)"
            + (configuration.port == 22 ? "" : ", port \(configuration.port)")
    }

    /// The file where a host key belongs.
    var knownHosts: String {
        options.knownHostsFile?.string ?? configuration.knownHosts.first ?? "~/.ssh/known_hosts"
    }
}

/// A text that stands among the causes of a failure.
struct SSHWords: Error, CustomStringConvertible {
    let description: String

    /// Nothing when there are no words.
    static func causes(_ title: String, _ text: String) -> [any Error] {
        text.isEmpty ? [] : [SSHWords(description: "\(title):\n\(text)")]
    }
}

extension SSHLog {
    /// What it means that ssh made no connection.
    func failure(_ place: SSHPlace, _ answers: SSHAnswers) -> Failure {
        var failure =
            hostKeyFailure(place, answers) ?? loginFailure(place, answers) ?? networkFailure(place)
            ?? configurationFailure(place)
            ?? Failure(
                .unreachable, "ssh made no connection to \(place.login)", at: place.name,
                remedy: "try it by hand: \(place.byHand)")
        if failure.causes.isEmpty { failure.causes = SSHWords.causes("ssh said", lastWords) }
        return failure
    }

    private func first(_ matches: (String) -> Bool) -> String? { said.first(where: matches) }

    // MARK: - Host keys

    private func hostKeyFailure(_ place: SSHPlace, _ answers: SSHAnswers) -> Failure? {
        if first({ $0.contains("REVOKED HOST KEY DETECTED") }) != nil {
            return Failure(
                .denied, "the host's key is marked as revoked\(shownKey)", at: place.name,
                remedy: "find out why before you use this host; its key is in a file of host keys with @revoked")
        }
        if first({ $0.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") }) != nil {
            let entry = first { $0.hasPrefix("Offending ") && $0.contains(" key in ") }
                .map { "; known is another one: \($0.drop { $0 != "/" })" }
            return Failure(
                .denied,
                "the host's key has changed\(shownKey)\(entry ?? ""): somebody may be listening in",
                at: place.name,
                remedy:
                    "if the host was made anew, remove the old key with: ssh-keygen -R '\(place.configuration.knownHostsName)' "
                    + "-f \(place.knownHosts)"
            )
        }
        // The target's own line names no question; a jump host's ssh asks.
        for refusal in answers.refusals {
            if case .hostKey(let question) = refusal.question {
                return Failure(
                    .denied, "the key of a jump host on the way is not known", at: place.name,
                    remedy: "log in to the jump host once by hand, and compare its key",
                    causes: [SSHWords(description: question)])
            }
        }
        let isUnknown =
            first { $0.hasPrefix("No ") && $0.contains("host key is known for") } != nil
            || first { $0 == "Host key verification failed." } != nil
        guard isUnknown else { return nil }
        let scan =
            place.configuration.usesProxy
            ? "log in by hand: \(place.byHand)"
            : "compare it with what `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` says on the host and record it: "
                + "ssh-keyscan -p \(place.configuration.port) \(place.configuration.hostname) >> \(place.knownHosts)"
        return Failure(
            .denied, "the host's key is not known\(shownKey)", at: place.name,
            remedy: "\(scan); or use --accept-new-host-keys to trust the keys of hosts never seen before")
    }

    /// The fingerprint; none where it might be a jump host's.
    private var shownKey: String {
        guard let key = fingerprints.first, fingerprints.count == 1 else { return "" }
        return " (it shows \(key))"
    }

    // MARK: - Login

    private func loginFailure(_ place: SSHPlace, _ answers: SSHAnswers) -> Failure? {
        let user = place.configuration.user
        for refusal in answers.refusals {
            switch refusal.question {
            case .password where refusal.isRepetition: return wrongPassword(place)
            case .password:
                return Failure(
                    .denied, "the host wants the password of \(user), and none is given\(methods)", at: place.name,
                    remedy: "give the password, or put a key of yours into ~\(user)/.ssh/authorized_keys there")
            case .elsewhere(let question):
                return Failure(
                    .denied, "a jump host on the way wants a secret, which sealer has for the host itself only",
                    at: place.name, remedy: "reach the jump host with a key, an agent or a certificate",
                    causes: [SSHWords(description: "it asks: \(question)")])
            case .challenge(let question):
                return Failure(
                    .denied, "the host asks for something else than a password", at: place.name,
                    remedy: "let \(user) log in with a key, a certificate or a password",
                    causes: [SSHWords(description: "it asks: \(question.prefix(200))")])
            case .passphrase, .hostKey, .other: break
            }
        }
        if let line = first({ $0.contains("Too many authentication failures") }) {
            return Failure(
                .denied, "the host was offered too many keys\(methods)", at: place.name,
                remedy: "name the key in ssh_config with IdentityFile, and set IdentitiesOnly yes",
                causes: [SSHWords(description: line)])
        }
        guard let line = said.last(where: { $0.contains(": Permission denied") }) else { return nil }
        let own = "\(user)@\(place.configuration.hostKeyAlias ?? place.configuration.hostname):".lowercased()
        guard line.lowercased().hasPrefix(own) || !place.configuration.usesProxy else {
            return Failure(
                .denied, "a jump host on the way refused the login", at: place.name,
                remedy: "log in to the jump host by hand", causes: [SSHWords(description: line)])
        }
        if answers.gavePassword { return wrongPassword(place) }
        let keys = answers.refusals.compactMap { refusal -> String? in
            guard case .passphrase(let key) = refusal.question else { return nil }
            return "the key \(key) was not used: its passphrase \(refusal.isRepetition ? "is wrong" : "is not given")"
        }
        let notes =
            keys
            + said.filter {
                $0.hasPrefix("Load key ") || $0.hasPrefix("Permissions ") || $0.hasPrefix("no such identity")
            }
        return Failure(
            .denied, "the host refused the login of \(user)\(methods)", at: place.name,
            remedy: "put a key of yours into ~\(user)/.ssh/authorized_keys there, or give the password",
            causes: (notes + [line]).map { SSHWords(description: $0) })
    }

    private func wrongPassword(_ place: SSHPlace) -> Failure {
        Failure(
            .denied, "the host did not accept the password of \(place.configuration.user)\(methods)", at: place.name,
            remedy: "look at the password; it was tried only once")
    }

    private var methods: String {
        let parts =
            (tried.isEmpty ? [] : ["tried: \(tried.joined(separator: ", "))"])
            + (offered.isEmpty ? [] : ["the host takes: \(offered.joined(separator: ", "))"])
        return parts.isEmpty ? "" : " (\(parts.joined(separator: "; ")))"
    }

    // MARK: - Network and configuration

    private func networkFailure(_ place: SSHPlace) -> Failure? {
        let line = said.last { line in
            Self.networkTroubles.contains { line.contains($0.sign) }
        }
        guard let line, let trouble = Self.networkTroubles.first(where: { line.contains($0.sign) }) else { return nil }
        return Failure(
            trouble.kind, "\(trouble.what) (\(place.login))", at: place.name, remedy: trouble.remedy,
            causes: [SSHWords(description: line)])
    }

    private struct NetworkTrouble {
        var sign: String
        var kind: Failure.Kind
        var what: String
        var remedy: String
    }

    private static let networkTroubles = [
        NetworkTrouble(
            sign: "Could not resolve hostname", kind: .unreachable, what: "the host's name is not known here",
            remedy: "look at the name, the DNS and /etc/hosts, or give the address"),
        NetworkTrouble(
            sign: "Connection refused", kind: .unreachable, what: "nothing listens on the host's SSH port",
            remedy: "look whether sshd runs there, and at the port"),
        NetworkTrouble(
            sign: "No route to host", kind: .unreachable, what: "there is no route to the host",
            remedy: "look whether the host runs, at the network and at firewalls"),
        NetworkTrouble(
            sign: "Network is unreachable", kind: .unreachable, what: "there is no route to the host",
            remedy: "look at this machine's network and at the address"),
        NetworkTrouble(
            sign: "timed out", kind: .timeout, what: "the host did not answer in time",
            remedy: "look whether the host runs, at the network and at firewalls"),
        NetworkTrouble(
            sign: "Unable to negotiate", kind: .unreachable, what: "the host and ssh here have no algorithm in common",
            remedy: "bring the host's OpenSSH up to date, or allow the algorithm for this host in ssh_config"),
        NetworkTrouble(
            sign: "kex_exchange_identification", kind: .unreachable, what: "the host ended the connection at once",
            remedy: "look at the log of sshd there: it may have too many connections, or refuse this address"),
        NetworkTrouble(
            sign: "Connection reset by", kind: .unreachable, what: "the host broke the connection",
            remedy: "look at the log of sshd there"),
        NetworkTrouble(
            sign: "Connection closed by", kind: .unreachable, what: "the host ended the connection",
            remedy: "look at the log of sshd there"),
    ]

    private func configurationFailure(_ place: SSHPlace) -> Failure? {
        let line = first {
            $0.contains("Bad configuration option") || $0.contains("Bad owner or permissions")
                || $0.contains("bad configuration options") || $0.contains("Can't open user config file")
        }
        return line.map {
            Failure(
                .invalidInput, "ssh does not take its configuration", at: place.name,
                remedy: "mend the file that it names", causes: [SSHWords(description: $0)])
        }
    }
}

extension SSHPlace {
    /// The command with which a person logs in.
    var byHand: String {
        let port = configuration.port == 22 ? "" : " -p \(configuration.port)"
        return "ssh\(port) \(configuration.user)@\(name)"
    }
}
