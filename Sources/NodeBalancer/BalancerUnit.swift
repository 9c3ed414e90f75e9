/// The systemd unit that runs the balancer on a node.
public struct BalancerUnit: Hashable, Sendable {
    /// The unit's name.
    public static let name = "sealer-balancer.service"

    /// The sealer executable on the node.
    public var executable: String
    /// The configuration's file on the node.
    public var configuration: String

    /// Makes a unit.
    public init(executable: String, configuration: String) {
        self.executable = executable
        self.configuration = configuration
    }

    /// The unit's file.
    ///
    /// It starts before kubelet and waits for nothing: not for the network to be up, not for names, not for anything that
    /// itself needs the API server. It is tried again for ever.
    public var text: String {
        """
        [Unit]
        Description=sealer's way from this node to the masters of its cluster
        After=network.target
        Before=kubelet.service
        StartLimitIntervalSec=0

        [Service]
        ExecStart=\(Self.quoted(executable)) node lb --config \(Self.quoted(configuration))
        Restart=always
        RestartSec=1
        LimitNOFILE=65536
        OOMScoreAdjust=-900

        [Install]
        WantedBy=multi-user.target

        """
    }

    /// A word of a command line as systemd reads it (systemd.service(5), "Command lines").
    private static func quoted(_ word: String) -> String {
        let plain = word.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || "/._-+:@".utf8.contains(byte)
        }
        if plain, !word.isEmpty { return word }
        let escaped = word.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
            .replacing("%", with: "%%").replacing("$", with: "$$").replacing("\n", with: "\\n")
        return "\"\(escaped)\""
    }
}
