"""Networks shared by methods. Import them only while fitting: they import torch."""
