import Clusterfile
import FoundationEssentials
import SystemPackage

/// The block of lines that sealer keeps in a node's /etc/hosts; the rest of the file is left as it is.
public enum HostsFile {
    /// A line of the block.
    public struct Entry: Sendable, Hashable {
        /// The address.
        public var address: String
        /// The names that it has.
        public var names: [String]

        /// Makes a line.
        public init(address: String, names: [String]) {
            self.address = address
            self.names = names
        }
    }

    private static let begin = "# begin: names of the sealer cluster"
    private static let end = "# end: names of the sealer cluster"

    /// The file's text with the block set to the given entries; without entries the block goes. Of a block whose end somebody took
    /// away, those lines go that follow its beginning and have the form of an entry: what comes then is the user's.
    public static func text(_ old: String, with entries: [Entry]) -> String {
        let lines = old.split(separator: "\n", omittingEmptySubsequences: false)
        var kept: [Substring] = []
        var index = lines.startIndex
        while index < lines.endIndex {
            guard lines[index] == begin else {
                kept.append(lines[index])
                index += 1
                continue
            }
            let rest = lines[(index + 1)...]
            // An end behind another beginning is that one's.
            if let mark = rest.firstIndex(where: { $0 == begin || $0 == end }), lines[mark] == end {
                index = mark + 1
            } else {
                index = rest.firstIndex { !isEntry($0) } ?? lines.endIndex
            }
        }
        // To the byte, so that what is left when the block goes is what there was.
        var text = kept.joined(separator: "\n")
        guard !entries.isEmpty else { return text }
        if !text.isEmpty, !text.hasSuffix("\n") { text += "\n" }
        return text + block(entries)
    }

    /// Whether a line has the form that `block` gives an entry: an address, a tab, names with one space between them. The machine's
    /// own name for itself is never sealer's.
    private static func isEntry(_ line: Substring) -> Bool {
        let parts = line.split(separator: "\t", omittingEmptySubsequences: false)
        guard parts.count == 2, IPAddress(String(parts[0])) != nil else { return false }
        let names = parts[1].split(separator: " ", omittingEmptySubsequences: false)
        return names.allSatisfy { name in
            !name.isEmpty && name != "localhost" && name.allSatisfy { $0.isLetter || $0.isNumber || "-._".contains($0) }
        }
    }

    private static func block(_ entries: [Entry]) -> String {
        let lines = entries.map { "\($0.address)\t\($0.names.joined(separator: " "))" }
        return ([begin] + lines + [end]).joined(separator: "\n") + "\n"
    }

    /// The service that `keeping` brings.
    public static let unit = "sealer-names.service"

    /// Brings the block back at boot, if whoever starts the host writes the file anew, as Docker does.
    public static func keeping(_ entries: [Entry]) -> NodeAspect {
        let copy: FilePath = "/etc/sealer/names"
        let unitText = """
            [Unit]
            Description=sealer's names of the cluster
            Before=containerd.service kubelet.service

            [Service]
            Type=oneshot
            RemainAfterExit=yes
            ExecStart=/bin/sh -c "grep -qxF '\(begin)' /etc/hosts || cat \(copy) >>/etc/hosts"

            [Install]
            WantedBy=multi-user.target

            """
        return NodeAspect(
            .names,
            files: [
                ManagedFile(copy, Data(block(entries).utf8)),
                ManagedFile(FilePath("/etc/systemd/system").appending(unit), Data(unitText.utf8)),
            ],
            service: unit)
    }
}
