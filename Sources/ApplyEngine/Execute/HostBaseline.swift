import FoundationEssentials
import Remote
import Report
import SystemPackage

/// What a host had before the first change, where Kubernetes and what belongs to it leave things: kept on the host, and compared
/// when all is taken off again.
enum HostBaseline {
    private static let path: FilePath = "/var/lib/sealer/baseline"
    /// The most lines of a difference that are told.
    private static let shownLines = 30

    /// Lists files, units, mounts, network devices, routes, rules of the packet filter and users, a line each, sorted; and that
    /// the rules for IPv6 are among them, which older lists lack.
    private static let listing = #"""
        export LC_ALL=C
        list() {
            echo 'listed IPv6'
            find /etc /usr/bin /usr/sbin /usr/local /usr/libexec /opt -xdev -printf 'file %p\n' 2>/dev/null || true
            find /var/lib /root -xdev -mindepth 1 -maxdepth 1 -printf 'file %p\n' 2>/dev/null || true
            systemctl list-unit-files --no-legend --plain 2>/dev/null | awk '{ print "unit", $1 }' || true
            awk '{ print "mount", $2 }' /proc/self/mounts
            ip -o link show | awk -F': ' '{ sub("@.*", "", $2); print "network device", $2 }'
            ip route show | sed 's/ *$//;s/^/route /'
            iptables-save 2>/dev/null | grep -E '^(-A|:)' | grep -vE '^:[A-Z]+ [A-Z]+ ' | sed 's/ \[.*//;s/^/packet filter /' || true
            ip6tables-save 2>/dev/null | grep -E '^(-A|:)' | grep -vE '^:[A-Z]+ [A-Z]+ ' |
                sed 's/ \[.*//;s/^/packet filter of IPv6 /' || true
            cut -d: -f1 /etc/passwd | sed 's/^/user /'
        }
        list_sorted() { list | grep -vE '^file /var/lib/(sealer|systemd)$|^file /root/\.' | sort -u; }

        """#

    /// Writes it down, unless that was done before, or takes too long: then nothing is compared later, which is told.
    static func record(on host: any Host) async throws {
        do {
            try await write(on: host)
        } catch let failure as Failure where failure.kind == .timeout {
            try await delete(on: host)
        }
    }

    private static func write(on host: any Host) async throws {
        try await host.check(
            .script(
                listing
                    + """
                    [[ -e \(path) ]] || {
                        mkdir -p \(path.removingLastComponent())
                        list_sorted >\(path).new
                        mv \(path).new \(path)
                    }
                    """),
            purpose: "writing down what the host has", limit: .seconds(40))
    }

    /// A script that prints what is there now and is not in a list. From an older list, without rules for IPv6, it cannot be told
    /// which of them are new.
    static func comparison(with list: FilePath = path) -> String {
        listing
            + """
            [[ -e \(list) ]] || exit 3
            unknown='^listed '
            grep -qx 'listed IPv6' \(list) || unknown='^(listed|packet filter of) IPv6'
            comm -13 \(list) <(list_sorted) | sed -E "/$unknown/d"
            """
    }

    /// What is there now and was not then; nil when that cannot be told.
    static func additions(on host: any Host) async throws -> [String]? {
        do {
            let result = try await host.run(
                .script(comparison()), limit: .seconds(200), output: { _ in })
            guard result.status == 0 else { return nil }
            return result.outputText.split(separator: "\n").map(String.init)
        } catch let failure as Failure where failure.kind == .timeout {
            return nil
        }
    }

    /// Takes the list away.
    static func delete(on host: any Host) async throws { try await host.delete(path) }

    /// Additions for people; nil when there are none.
    static func words(_ additions: [String]?, on host: String) -> String? {
        guard let additions else {
            return "\(host): what it had before sealer came was not written down, so nothing was compared with it"
        }
        guard !additions.isEmpty else { return nil }
        let shown = additions.prefix(shownLines).joined(separator: ", ")
        let more = additions.count > shownLines ? ", and \(additions.count - shownLines) more" : ""
        return "\(host): was not there before sealer came, and is there now: \(shown)\(more)"
    }
}
