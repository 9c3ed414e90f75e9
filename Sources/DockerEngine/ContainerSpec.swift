/// A container to make, as far as a node of a cluster needs it.
public struct ContainerSpec: Sendable, Hashable {
    /// Its name.
    public var name: String
    /// The image that it starts from.
    public var image: String
    /// What it runs instead of the image's entry point; nil for the image's own.
    public var entrypoint: [String]?
    /// Its host name.
    public var hostname: String
    /// Its labels.
    public var labels: [String: String]
    /// The network that it joins.
    public var network: String
    /// Its IPv4 address there; nil for one that the engine chooses, another one at each start.
    public var address: String?
    /// The capabilities that it gets beside Docker's default ones, named without `CAP_`.
    public var capabilities: [String]
    /// Whether seccomp, AppArmor and the masks over /proc and /sys are taken off.
    public var isUnconfined: Bool
    /// Rules for devices: `a *:* rwm` for all.
    public var deviceRules: [String]
    /// Memory file systems by their place, with their options.
    public var memoryMounts: [String: String]
    /// Volumes by their place.
    public var volumes: [String: String]
    /// The signal that stops its first process.
    public var stopSignal: String?

    /// Makes a description with nothing special in it.
    public init(name: String, image: String, hostname: String, network: String) {
        self.name = name
        self.image = image
        self.hostname = hostname
        self.network = network
        entrypoint = nil
        labels = [:]
        capabilities = []
        isUnconfined = false
        deviceRules = []
        memoryMounts = [:]
        volumes = [:]
        stopSignal = nil
    }

    /// The body of `POST /containers/create`.
    var wish: JSON {
        var host: [String: JSON] = [
            "NetworkMode": .string(network),
            "CapAdd": .strings(capabilities),
            "CgroupnsMode": "private",
            "DeviceCgroupRules": .strings(deviceRules),
            "Tmpfs": .labels(memoryMounts),
            "Mounts": .array(
                volumes.sorted { $0.key < $1.key }.map { place, volume in
                    ["Type": "volume", "Source": .string(volume), "Target": .string(place)]
                }
            ),
            "RestartPolicy": ["Name": "no"],
        ]
        if isUnconfined {
            host["SecurityOpt"] = ["seccomp=unconfined", "apparmor=unconfined"]
            // What the docker command makes of systempaths=unconfined.
            host["MaskedPaths"] = []
            host["ReadonlyPaths"] = []
        }
        var members: [String: JSON] = [
            "Image": .string(image),
            "Hostname": .string(hostname),
            "Labels": .labels(labels),
            "HostConfig": .object(host),
        ]
        if let address {
            members["NetworkingConfig"] = [
                "EndpointsConfig": .object([network: ["IPAMConfig": ["IPv4Address": .string(address)]]])
            ]
        }
        if let entrypoint { members["Entrypoint"] = .strings(entrypoint) }
        if let stopSignal { members["StopSignal"] = .string(stopSignal) }
        return .object(members)
    }
}

/// A container in a list.
public struct EngineContainer: Sendable, Hashable, Decodable {
    /// Its id.
    public var id: String
    /// Its name, without the slash that the engine puts before it.
    public var name: String
    /// `created`, `running`, `exited`, …
    public var state: String
    /// Its labels.
    public var labels: [String: String]

    private enum CodingKeys: String, CodingKey {
        case id = "Id"
        case names = "Names"
        case state = "State"
        case labels = "Labels"
    }

    /// Decodes an entry of `GET /containers/json`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        id = try container.decode(String.self, forKey: .id)
        let first = try container.decodeIfPresent([String].self, forKey: .names)?.first ?? id
        name = first.hasPrefix("/") ? String(first.dropFirst()) : first
        state = try container.decode(String.self, forKey: .state)
        labels = try container.decodeIfPresent([String: String].self, forKey: .labels) ?? [:]
    }
}

/// What a container is and how it fares.
public struct ContainerDetails: Sendable, Hashable, Decodable {
    /// How a container fares.
    public struct State: Sendable, Hashable, Decodable {
        /// `created`, `running`, `exited`, …
        public var status: String
        /// The exit code of its first process; 0 while it runs.
        public var exitCode: Int
        /// What the engine says went wrong, mostly empty.
        public var error: String?

        private enum CodingKeys: String, CodingKey {
            case status = "Status"
            case exitCode = "ExitCode"
            case error = "Error"
        }
    }

    /// Its id.
    public var id: String
    /// How it fares.
    public var state: State
    /// Its IPv4 address in each network that it is a member of.
    public var addresses: [String: String]

    private enum CodingKeys: String, CodingKey {
        case id = "Id"
        case state = "State"
        case settings = "NetworkSettings"
    }

    private struct Settings: Decodable {
        var networks: [String: Endpoint]?
        private enum CodingKeys: String, CodingKey { case networks = "Networks" }
    }

    private struct Endpoint: Decodable {
        var address: String?
        private enum CodingKeys: String, CodingKey { case address = "IPAddress" }
    }

    /// Decodes the answer to `GET /containers/{id}/json`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        id = try container.decode(String.self, forKey: .id)
        state = try container.decode(State.self, forKey: .state)
        let settings = try container.decodeIfPresent(Settings.self, forKey: .settings)
        addresses = (settings?.networks ?? [:]).compactMapValues(\.address).filter { !$0.value.isEmpty }
    }
}
