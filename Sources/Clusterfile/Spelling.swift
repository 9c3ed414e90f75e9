/// How names are spelled that end up in Kubernetes, in certificates, in shells or in paths.
enum Spelling {
    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: false
        }
    }

    /// What a shell takes as a variable's name.
    static func isVariable(_ name: String) -> Bool {
        guard let first = name.utf8.first, !(0x30...0x39).contains(first) else { return false }
        return name.utf8.allSatisfy { isLetterOrDigit($0) || $0 == UInt8(ascii: "_") }
    }

    /// A name of letters, digits, `-`, `_` and `.`, with a letter or digit at both ends: Kubernetes' qualified names
    /// without a prefix, and its label values that are not empty.
    static func isName(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        guard (1...63).contains(bytes.count), let first = bytes.first, let last = bytes.last else { return false }
        return isLetterOrDigit(first) && isLetterOrDigit(last)
            && bytes.allSatisfy { isLetterOrDigit($0) || "-_.".utf8.contains($0) }
    }

    /// A label's or a taint's key: a name, or a DNS name, `/` and a name.
    static func isKey(_ key: String) -> Bool {
        let parts = key.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        switch parts.count {
        case 1: return isName(key)
        case 2: return isLowerHostName(parts[0]) && isName(parts[1])
        default: return false
        }
    }

    /// A label's or a taint's value; it may be empty.
    static func isValue(_ value: String) -> Bool { value.isEmpty || isName(value) }

    /// A host name: DNS labels parted by dots. What has the form of an IPv4 address is none.
    static func isHostName(_ name: String) -> Bool {
        guard (1...253).contains(name.utf8.count) else { return false }
        // All digits and dots: an address, or a slip.
        if name.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }) { return false }
        return name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.count) && label.first != 0x2d && label.last != 0x2d
                && label.allSatisfy { isLetterOrDigit($0) || $0 == 0x2d }
        }
    }

    /// A host name in lower case, as Kubernetes wants its nodes' names.
    static func isLowerHostName(_ name: String) -> Bool {
        isHostName(name) && !name.utf8.contains { (0x41...0x5a).contains($0) }
    }

    /// A name or an address that a certificate can hold; `*.` may stand before a name.
    static func isCertificateName(_ name: String) -> Bool {
        IPAddress(name) != nil || isHostName(name.hasPrefix("*.") ? String(name.dropFirst(2)) : name)
    }

    /// A relative path that leads to no place outside of the folder that it is taken from.
    static func isInnerPath(_ path: String) -> Bool {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        return (1...1024).contains(path.utf8.count) && !hasControls(path)
            && parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
    }

    /// Whether there is a control character, a line end among them.
    static func hasControls(_ text: String) -> Bool { text.utf8.contains { $0 < 0x20 || $0 == 0x7f } }
}
