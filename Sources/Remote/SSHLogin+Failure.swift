import Report

extension SSHLogin {
    /// What it means that the login ended before the program started, as far as the script and sudo told.
    ///
    /// - Parameter text: the end of standard error.
    func failure(_ place: SSHPlace, _ text: String) -> Failure? {
        if words.contains(.noSudo) { return Self.noSudo(place) }
        guard words.contains(.refused) || words.contains(.password) else { return nil }
        let shown = withoutMarks(text)
        let lines = shown.lowercased().split(whereSeparator: \.isNewline)
        func says(_ parts: String...) -> Bool { lines.contains { line in parts.contains { line.contains($0) } } }
        if says("must have a tty") { return Self.needsTerminal(place, shown) }
        // The last ones of each are what sudo-rs says.
        if says("is not in the sudoers file", "is not allowed to", "may not run sudo", "afraid i can't do that") {
            return Self.notAllowed(place, shown)
        }
        if says(
            "incorrect password", "sorry, try again", "no password was provided", "authentication failed",
            "incorrect authentication")
        {
            return Self.wrongPassword(place)
        }
        return Failure(
            .denied, "sudo did not make \(place.configuration.user) root", at: place.name,
            remedy: "try it by hand on the host: sudo -k true", causes: SSHWords.causes("it said", shown))
    }

    private static func noSudo(_ place: SSHPlace) -> Failure {
        Failure(
            .denied, "\(place.configuration.user) is not root there, and there is no sudo", at: place.name,
            remedy: "install sudo on the host, or log in as root")
    }

    private static func needsTerminal(_ place: SSHPlace, _ text: String) -> Failure {
        Failure(
            .denied, "sudo on the host wants a terminal (requiretty)", at: place.name,
            remedy: "add to the host's sudoers: Defaults:\(place.configuration.user) !requiretty",
            causes: SSHWords.causes("sudo said", text))
    }

    private static func notAllowed(_ place: SSHPlace, _ text: String) -> Failure {
        Failure(
            .denied, "\(place.configuration.user) may not use sudo on the host", at: place.name,
            remedy: "allow it in the host's sudoers: \(place.configuration.user) ALL=(ALL:ALL) ALL; or log in as root",
            causes: SSHWords.causes("sudo said", text))
    }

    /// sudo asked again.
    static func wrongPassword(_ place: SSHPlace) -> Failure {
        Failure(
            .denied, "sudo on the host did not accept the password of \(place.configuration.user)", at: place.name,
            remedy: "look at the password; it was tried only once")
    }

    /// sudo asked, and nobody knows.
    static func noPassword(_ place: SSHPlace) -> Failure {
        Failure(
            .denied, "sudo on the host wants the password of \(place.configuration.user), and none is given",
            at: place.name,
            remedy:
                "give the password, or allow sudo without one: \(place.configuration.user) ALL=(ALL:ALL) NOPASSWD: ALL")
    }
}
