/// What COPY may name.
enum PathRule {
    /// What is wrong with a path, or nil.
    static func mistake(in path: String, isSource: Bool) -> String? {
        if path.isEmpty { return isSource ? "the source is empty" : "the destination is empty" }
        if path.unicodeScalars.contains("\0") { return "a path holds no NUL" }
        if isSource, path.hasPrefix("http://") || path.hasPrefix("https://") || path.hasPrefix("git@") {
            return "COPY from the network is not supported yet: a path in the build context was expected"
        }
        guard leavesRoot(path) else { return nil }
        let root = isSource ? "the build context" : "the rootfs"
        return "\"\(path.prefix(80))\" leads out of \(root): a path within it was expected"
    }

    /// Whether `..` leads above where the path begins.
    static func leavesRoot(_ path: String) -> Bool {
        var depth = 0
        for component in path.split(separator: "/") where component != "." {
            depth += component == ".." ? -1 : 1
            if depth < 0 { return true }
        }
        return false
    }
}

/// What APP and LAUNCH may name.
enum AppRule {
    /// What is wrong with an application's name, or nil.
    ///
    /// The name becomes a folder's and a helm release's, thus the release's rules: 53 characters of a DNS name.
    static func mistake(inName name: String) -> String? {
        func isLetterOrDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte) }
        let bytes = Array(name.utf8)
        if let first = bytes.first, let last = bytes.last, bytes.count <= 53, isLetterOrDigit(first),
            isLetterOrDigit(last),
            bytes.allSatisfy({ isLetterOrDigit($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") })
        {
            return nil
        }
        let rule = "at most 53 lower-case letters, digits, - and . were expected, a letter or digit at both ends"
        return "\"\(name.prefix(60))\" is not an application's name: \(rule)"
    }

    /// What is wrong with a place of an application's files, or nil.
    static func mistake(inSource source: String) -> String? {
        let shown = source.prefix(80)
        if source.hasPrefix("http://") || source.hasPrefix("https://") {
            return "\"\(shown)\": files from the network are not supported yet, local://PATH was expected"
        }
        guard source.hasPrefix(localPrefix) else { return "\"\(shown)\": local://PATH was expected" }
        let path = source.dropFirst(localPrefix.count)
        if path.isEmpty { return "the path after local:// is missing" }
        return PathRule.mistake(in: String(path), isSource: true)
    }

    /// What stands before a path of the build context.
    static let localPrefix = "local://"
}
