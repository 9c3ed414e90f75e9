/// kubelet's flags as kubeadm writes them for systemd: `KUBELET_KUBEADM_ARGS="--a=b --c=d"`, in alphabetical order.
struct KubeletFlags: Hashable, Sendable {
    /// A flag; no value where it stands alone.
    struct Flag: Hashable, Sendable {
        var name: String
        var value: String?
    }

    private static let variable = "KUBELET_KUBEADM_ARGS="

    /// Flags that kubeadm sets by itself when a node becomes a member, and that no document says.
    private static let kubeadmOwn: Set<String> = [
        "container-runtime", "container-runtime-endpoint", "hostname-override", "network-plugin",
        "pod-infra-container-image", "register-with-taints", "resolv-conf",
    ]

    /// The flags.
    private(set) var flags: [Flag]

    init(flags: [Flag]) { self.flags = flags }

    /// Reads the file; nil when it does not set the variable.
    init?(parsing text: String) {
        let line = text.split(whereSeparator: \.isNewline).map { $0.drop { $0 == " " } }
            .last { $0.hasPrefix(Self.variable) }
        guard let line else { return nil }
        var flags: [Flag] = []
        for word in Self.unquoted(line.dropFirst(Self.variable.count)).split(separator: " ") {
            if word.hasPrefix("--") {
                let parts = word.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                flags.append(Flag(name: String(parts[0]), value: parts.count > 1 ? String(parts[1]) : nil))
            } else if let last = flags.indices.last, flags[last].value == nil {
                flags[last].value = String(word)
            }
        }
        self.flags = flags
    }

    /// Whether a flag is there.
    func contains(_ name: String) -> Bool { flags.contains { $0.name == name } }

    /// These flags as they should be: kubeadm's own stay, all others are those of the documents.
    ///
    /// - Parameters:
    ///   - arguments: names with their values; one value is the usual case.
    ///   - registered: what a node needs that registers with its container runtime.
    func with(_ arguments: [(name: String, values: [String])], registered: [(String, String)]) -> KubeletFlags {
        let wanted = Set(arguments.map(\.name))
        var result = flags.filter { Self.kubeadmOwn.contains($0.name) && !wanted.contains($0.name) }
        for (name, value) in registered where !wanted.contains(name) {
            result.removeAll { $0.name == name }
            result.append(Flag(name: name, value: value))
        }
        for argument in arguments { result += argument.values.map { Flag(name: argument.name, value: $0) } }
        return KubeletFlags(flags: result)
    }

    /// The file's text, in kubeadm's form.
    var text: String {
        let words = flags.enumerated()
            .sorted { ($0.element.name, $0.offset) < ($1.element.name, $1.offset) }
            .map { "--\($0.element.name)" + ($0.element.value.map { "=\($0)" } ?? "") }
            .joined(separator: " ")
        return "\(Self.variable)\"\(words.replacing("\\", with: "\\\\").replacing("\"", with: "\\\""))\"\n"
    }

    private static func unquoted(_ text: Substring) -> String {
        guard let quote = text.first, quote == "\"" || quote == "'" else { return String(text) }
        var result = ""
        var isEscaped = false
        for character in text.dropFirst() {
            if isEscaped {
                result.append(character)
                isEscaped = false
            } else if character == "\\", quote == "\"" {
                isEscaped = true
            } else if character == quote {
                break
            } else {
                result.append(character)
            }
        }
        return result
    }
}
